"""What the stages before training left, read for the report: pictures, splits, classes, problems, audit."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.files import read_json, read_table
from maskmill.labels.problems import read_problems
from maskmill.leaks.isolation import EXCLUDED
from maskmill.wording import count_of

PARTS = ("train", "validation", "test")
SHEETS = 6
ROWS = 20
"""Rows shown of tables that have a row for each fault; the whole tables are files."""

_NAMES = 12


class DataFiles(NamedTuple):
    """Files of the data set; `labels` are the label folders of the shards, each named after its shard."""

    samples: str | PathLike
    splits: str | PathLike
    problems: str | PathLike
    audit: str | PathLike
    sheets: str | PathLike
    fingerprint: str | PathLike
    labels: Sequence[str | PathLike]


def describe_data(files: DataFiles, classes: Classes, fold: int) -> dict[str, Any]:
    """Everything the section on the data says; shares of pixels are of the parts of `fold`."""
    samples, splits = read_table(files.samples), read_table(files.splits)
    problems = read_problems(files.problems)
    return {
        "samples": _count_samples(samples),
        "groups": len({row["group"] for row in samples}),
        "sizes": _sizes(samples),
        "parts": _parts(splits),
        "classes": _class_rows(files, classes, splits, fold),
        "ignored": _ignored_share(files, splits),
        "audit": _audit(read_table(files.audit)),
        "problems": problems,
        "skipped": len({problem.id for problem in problems if problem.id}),
        "advice": list(dict.fromkeys(text for one in read_json(files.fingerprint)["folds"] for text in one["advice"])),
    }


def colours_of(classes: Classes) -> dict[str, str]:
    """Name → "#rrggbb" colour of every class as pictures show it."""
    return Classes(classes.names, classes.shown_colours).as_dict()


def chosen_sheets(folder: str | PathLike) -> list[dict[str, str]]:
    """Rows of sheets.csv to show: up to half with remarks, then those without; `path` is the picture."""
    rows = read_table(Path(folder) / "sheets.csv")
    telling = [row for row in rows if row["remarks"]][: SHEETS // 2]
    plain = [row for row in rows if not row["remarks"]][: SHEETS - len(telling)]
    return [row | {"path": Path(folder) / row["file"]} for row in telling + plain]


def _count_samples(samples: Sequence[Mapping[str, str]]) -> str:
    """How many pictures and how many volumes there are, such as "12 volumes"."""
    volumes = sum(int(row["depth"]) > 1 for row in samples)
    counts = {"picture": len(samples) - volumes, "volume": volumes}
    return " and ".join(count_of(count, noun) for noun, count in counts.items() if count)


def _sizes(samples: Sequence[Mapping[str, str]]) -> str:
    """Width × height of the pictures (× depth of volumes), or from the smallest to the largest by their product."""
    sizes = sorted({tuple(int(row[side]) for side in ("width", "height", "depth")) for row in samples}, key=math.prod)
    texts = [" × ".join(map(str, size if size[2] > 1 else size[:2])) for size in sizes]
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _parts(splits: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """A row for each part of each fold: fold, part, pictures, groups, and the groups' names where they are few."""
    rows = []
    for fold in [column.removeprefix("fold") for column in splits[0] if column.startswith("fold")]:
        for part in (*PARTS, EXCLUDED):
            groups = [row["group"] for row in splits if row[f"fold{fold}"] == part]
            names = sorted(set(groups))
            if part == EXCLUDED and not names:
                continue
            shown = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
            rows.append({"fold": fold, "part": part, "pictures": len(groups), "groups": len(names), "names": shown})
    return rows


def _class_rows(
    files: DataFiles, classes: Classes, splits: Sequence[Mapping[str, str]], fold: int
) -> list[dict[str, Any]]:
    """A row for background and each class: name, colour, pictures that have it, objects, share of pixels of the parts.

    Shares are of the pixels that are not ignored.
    """
    part_of = {row["id"]: row[f"fold{fold}"] for row in splits}
    pixels: dict[str, Counter[int]] = {part: Counter() for part in (*PARTS, EXCLUDED)}
    pictures: Counter[int] = Counter()
    for identifier, value, count in _statistics(files):
        if identifier in part_of and value != IGNORE:
            pixels[part_of[identifier]][value] += count
            pictures[value] += count > 0
    objects: Counter[str] = Counter()
    for row in read_table(files.audit):
        objects[row["class"]] += int(row["objects"])
    totals = {part: max(1, counts.total()) for part, counts in pixels.items()}
    colours = {"background": None} | colours_of(classes)
    return [
        {
            "name": name,
            "colour": colour,
            "pictures": pictures[value],
            "objects": None if value == BACKGROUND else objects[name],
            "shares": [pixels[part][value] / totals[part] for part in PARTS],
        }
        for value, (name, colour) in enumerate(colours.items())
    ]


def _ignored_share(files: DataFiles, splits: Sequence[Mapping[str, str]]) -> float:
    accepted = {row["id"] for row in splits}
    counts = [(value, count) for identifier, value, count in _statistics(files) if identifier in accepted]
    return sum(count for value, count in counts if value == IGNORE) / max(1, sum(count for _, count in counts))


def _statistics(files: DataFiles) -> list[tuple[str, int, int]]:
    """Id, value and number of pixels of every label image."""
    rows = [row for folder in files.labels for row in read_table(Path(folder) / "statistics.csv")]
    return [(row["id"], int(row["class"]), int(row["pixels"])) for row in rows]


def _audit(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    totals = {
        key: sum(int(row[key]) for row in rows)
        for key in ("objects", "tiny_objects", "outside_objects", "lost_objects", "label_pixels", "covered_pixels")
    }
    drawn = totals["label_pixels"] + totals["covered_pixels"]
    labelled: Counter[str] = Counter()
    for row in rows:
        labelled[row["id"]] += int(row["label_pixels"])
    return totals | {
        "covered_share": totals["covered_pixels"] / max(1, drawn),
        "empty": sorted(identifier for identifier, count in labelled.items() if not count),
        "remarks": [row for row in rows if row["remarks"]],
    }

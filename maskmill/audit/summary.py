"""The whole data set's losses and balance, what looks wrong in it, and what to do about it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.audit.objects import OBJECT_COLUMNS, AuditOptions, count_remarks
from maskmill.audit.shard import AUDIT_COLUMNS
from maskmill.classes import Classes
from maskmill.files import read_table, write_json, write_table
from maskmill.metrics import SIZE_BINS
from maskmill.wording import count_of

RARE = 0.1
"""Share of the pixels below which the foreground is called rare."""

RARE_CLASS = 0.25
"""Median share below which a class that covers most of a picture looks inverted there."""

logger = logging.getLogger(__name__)


def summarize_audit(
    shard_dirs: Sequence[str],
    classes: Sequence[str] | Mapping[str, str],
    training: Mapping[str, object],
    audit: str,
    objects: str,
    summary: str,
) -> None:
    """Merge the shards' tables into `audit` and `objects` and write the figures of every class and advice to `summary`.

    classes: the option `dataset.classes`; training: the fields of `AuditOptions`.
    """
    options = AuditOptions(**training)
    names = Classes.from_config(classes).names
    rows = sorted(_merged(shard_dirs, "classes.csv"), key=lambda row: (row["id"], names.index(row["class"])))
    found = sorted(_merged(shard_dirs, "objects.csv"), key=lambda row: (row["id"], int(row["object"])))
    mark_inverted(rows, names)
    figures = [class_figures(name, rows, found, options.minimum_areas) for name in names]
    pictures = len({row["id"] for row in rows})
    volumes = len({row["id"] for row in rows if int(row["slices"]) > 1})
    background = 1 - sum(figure["share"] for figure in figures)
    content = {
        "pictures": pictures,
        "volumes": volumes,
        "empty": sorted(_empty(rows)),
        "background_share": round(background, 6),
        "classes": figures,
        "advice": advise(figures, pictures, volumes, options),
    }
    write_table(audit, rows, AUDIT_COLUMNS)
    write_table(objects, found, OBJECT_COLUMNS)
    write_json(summary, content)
    for item in content["advice"]:
        logger.warning("%s: %s", item["finding"], item["suggestion"])


def _merged(folders: Sequence[str], name: str) -> list[dict[str, str]]:
    return list(chain.from_iterable(read_table(Path(folder) / name) for folder in folders))


def _empty(rows: Sequence[Mapping[str, str]]) -> set[str]:
    """Samples without a pixel of any class."""
    return {row["id"] for row in rows} - {row["id"] for row in rows if int(row["label_pixels"])}


def mark_inverted(rows: Sequence[dict[str, str]], names: Sequence[str]) -> None:
    """Add the remark "looks inverted" where a class covers most of a picture though it is rare elsewhere.

    That is: more than half of it, and the rest of it is nearer to the class's median share than what is covered.
    """
    for name in names:
        own = [row for row in rows if row["class"] == name and int(row["label_pixels"])]
        median = float(np.median([float(row["share"]) for row in own])) if len(own) >= 5 else 1.0
        for row in own:
            share = float(row["share"])
            if median < RARE_CLASS and share > 0.5 and abs(1 - share - median) < abs(share - median) / 2:
                row["remarks"] = ", ".join(filter(None, [row["remarks"], "looks inverted"]))


def class_figures(
    name: str, rows: Sequence[Mapping[str, str]], objects: Sequence[Mapping[str, str]], minimum_areas: Sequence[int]
) -> dict[str, Any]:
    """Counts and shares of one class over all samples."""
    own = [row for row in rows if row["class"] == name]
    found = [row for row in objects if row["class"] == name]
    areas = np.array([int(row["visible_pixels"]) for row in found], dtype=np.int64)
    pixels = np.array([int(row["label_pixels"]) for row in own], dtype=np.int64)
    shares = np.array([float(row["share"]) for row in own])
    sizes = pixels[shares > 0] / shares[shares > 0]
    total = float(sizes.sum() + (len(own) - len(sizes)) * (sizes.mean() if len(sizes) else 0))
    annotated = sum(int(row["annotated_area"]) for row in own)
    drawn = sum(int(row["drawn_pixels"]) for row in found if row["annotated_area"])
    edges = [*SIZE_BINS.values(), np.iinfo(np.int64).max]
    counts = np.histogram(areas, edges)[0].tolist()
    return {
        "class": name,
        "pictures": int(np.count_nonzero(pixels)),
        "objects": len(found),
        "pixels": int(pixels.sum()),
        "share": round(float(pixels.sum()) / total, 6) if total else 0.0,
        "rasterising_change": round(drawn / annotated - 1, 6) if annotated else 0.0,
        "covered_pixels": sum(int(row["covered_pixels"]) for row in own),
        "cut_share": _cut_share(found),
        "lost_objects": sum(int(row["lost_objects"]) for row in own),
        "removable_objects": {str(area): int((areas < area).sum()) for area in minimum_areas if area},
        "sizes": dict(zip(SIZE_BINS, counts, strict=True)),
        "remarks": count_remarks(found),
    }


def _cut_share(objects: Sequence[Mapping[str, str]]) -> float | None:
    """Share of the objects that can be seen that lie in several patches; None where patches are not decided."""
    patches = [int(row["patches"]) for row in objects if row["patches"]]
    return round(sum(number > 1 for number in patches) / len(patches), 6) if patches else None


def percent(share: float) -> str:
    """A share in per cent, with two digits that say something where it is below one."""
    return f"{100 * share:.2g} %" if 0 < share < 0.01 else f"{100 * share:.1f} %"


def units(pictures: int, volumes: int) -> tuple[str, str]:
    """What a sample and what its smallest part is called, where so many of the pictures are volumes."""
    return ("volume", "voxel") if 0 < volumes == pictures else ("picture", "pixel")


def advise(
    figures: Sequence[Mapping[str, Any]], pictures: int, volumes: int, options: AuditOptions
) -> list[dict[str, str]]:
    """What should be looked at or changed: findings in words, each with a suggestion, most telling first."""
    advice = []
    foreground = sum(figure["share"] for figure in figures)
    if not any(figure["pixels"] for figure in figures):
        return []
    _, dots = units(pictures, volumes)
    if foreground < RARE:
        advice.append(
            {
                "finding": f"the classes cover {percent(foreground)} of the {dots}s, less than {100 * RARE:.0f} %",
                "suggestion": f"train on patches with foreground and on the hardest {dots}s",
                "config": "train: {foreground: 0.7}\nloss: {ohem: 0.3}",
            }
        )
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    vanishing = any(map(_vanishes, figures))
    for figure in figures:
        chosen = chain(
            _resolution_advice(figure, vanishing, options),
            _class_advice(figure, units(pictures, volumes), pictures, options),
        )
        for finding, suggestion, config in chosen:
            found.setdefault((suggestion, config), {}).setdefault(finding, []).append(figure["class"])
    for (suggestion, config), findings in found.items():
        text = "; ".join(f"{', '.join(names)}: {finding}" for finding, names in findings.items())
        advice.append({"finding": text, "suggestion": suggestion, "config": config})
    return advice


def _vanishes(figure: Mapping[str, Any]) -> bool:
    """Whether objects of a class vanish at the training size, so many that it should be larger."""
    return figure["remarks"].get("gone at training size", 0) > 0.02 * figure["objects"]


def _resolution_advice(
    figure: Mapping[str, Any], vanishing: bool, options: AuditOptions
) -> Iterator[tuple[str, str, str]]:
    """Finding, suggestion and options on the training size. vanishing: objects of some class vanish at it."""
    count, remarks = figure["objects"], figure["remarks"]
    if _vanishes(figure):
        finding = _of(remarks["gone at training size"], count, "has", "have")
        config = f"preprocess: {{scale: {min(1.0, options.scale * 2):g}}}"
        yield f"{finding} no pixel left at the scale {options.scale:g}", "train at a higher resolution", config
    large = remarks.get("larger than a patch", 0)
    if large > 0.1 * count:
        finding = f"{_of(large, count)} larger than a training patch of {options.patch_side} pixels"
        suggestion = "train on larger patches" + ("" if vanishing else ", or at a lower resolution")
        yield finding, suggestion, f"train: {{patch: {options.patch_side * 2}}}"


def _class_advice(
    figure: Mapping[str, Any], names: tuple[str, str], pictures: int, options: AuditOptions
) -> Iterator[tuple[str, str, str]]:
    """Finding, suggestion and options for one class. names: `units`."""
    count, remarks = figure["objects"], figure["remarks"]
    sample, dot = names
    if 0 < figure["pictures"] < min(5, pictures):
        yield (
            f"in {count_of(figure['pictures'], sample)} of {pictures} only",
            "annotate more, or merge the class with another one",
            "",
        )
    largest = max(options.minimum_areas, default=0)
    removable = figure["removable_objects"].get(str(largest), 0)
    if count and removable > 0.2 * count:
        fitting = [
            area
            for area in options.minimum_areas
            if area and figure["removable_objects"].get(str(area), 0) <= 0.05 * count
        ]
        finding = f"{_of(removable, count)} smaller than the largest minimum area tried, {largest} {dot}s"
        steps = f"[{{step: remove_small, area: {fitting}}}]" if fitting else "[]"
        yield finding, "try smaller areas only", f"postprocess: {{steps: {steps}}}"
    for remark, (one, many, suggestion) in _SUGGESTIONS.items():
        if remarks.get(remark, 0) > (0.1 * count if remark in ("coarse outline", "tiny") else 0):
            yield _of(remarks[remark], count, one, many), suggestion.format(options), ""


def _of(number: int, count: int, one: str = "is", many: str = "are") -> str:
    """How many of so many objects do what the verbs say, of one of them and of several."""
    return f"{number} of {count_of(count, 'object')} {one if number == 1 else many}"


_SUGGESTIONS = {
    "crosses itself": (
        "crosses itself",
        "cross themselves",
        "mend the outlines in the annotation tool; what is inside is ambiguous",
    ),
    "outside the picture": (
        "lies outside the picture",
        "lie outside the picture",
        "delete these objects or move them; they may belong to another picture",
    ),
    "covered altogether": (
        "is covered altogether",
        "are covered altogether",
        "delete them, or draw them after what covers them",
    ),
    "coarse outline": (
        "has a coarse outline",
        "have a coarse outline",
        "where an outline is curved, click vertices at most {0.vertex_spacing:g} pixels apart (quality.vertex_spacing)",
    ),
    "tiny": ("is tiny", "are tiny", "check whether they are slips of the mouse or specks"),
}
"""What an object with a remark does, what several do, and what to do about it."""

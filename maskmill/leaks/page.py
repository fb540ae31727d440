"""The page of leaks: pairs of pictures that show the same in different parts, side by side."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined

from maskmill.files import atomic_path, read_table
from maskmill.imaging.images import read_image, write_jpeg
from maskmill.imaging.overlay import display_image
from maskmill.leaks.hashes import picture_path
from maskmill.logs import progress

SHOWN_PAIRS = 200
LONG_SIDE = 400
"""Longest side of a picture on the page, in pixels."""

KIND_TITLES = {
    "identical": "identical files",
    "near_duplicate": "near-duplicates",
    "overlapping_footprint": "overlapping footprints",
    "divided_group": "divided groups",
}


def draw_leaks(
    leaks: str | os.PathLike,
    samples: str | os.PathLike,
    splits: str | os.PathLike,
    dataset: str,
    output: str | os.PathLike,
) -> None:
    """Write the folder `output` with a page that shows the leaks.

    leaks, samples, splits: leaks.csv, samples.csv and the proposed splits, whose groups may have been united. dataset:
    the option `dataset.name`.
    """
    rows = read_table(samples)
    before = {row["id"]: row["group"] for row in rows}
    united: dict[str, list[str]] = {}
    for row in read_table(splits):
        names = united.setdefault(row["group"], [])
        if before[row["id"]] not in names:
            names.append(before[row["id"]])
    with atomic_path(output) as folder:
        folder.mkdir()
        write_page(folder, dataset, read_table(leaks), rows, united, Path(leaks).name)


def write_page(
    folder: Path,
    dataset: str,
    leaks: Sequence[Mapping[str, str]],
    samples: Sequence[Mapping[str, str]],
    groups: Mapping[str, Sequence[str]],
    table_name: str,
) -> None:
    """Write index.html and the pictures of the pairs it shows to `folder`.

    leaks: rows of the table of leaks, the worst first; the first 200 pairs of samples are shown. samples: rows of
    samples.csv. groups: the groups that were dealt and those they were united of. table_name: file name of the whole
    table, for the page to name.
    """
    cards = _cards(leaks)
    shown = cards[:SHOWN_PAIRS]
    by_id = {row["id"]: row for row in samples}
    files: dict[str, str] = {}
    for sample in progress([sample for card in shown for sample in card["ids"]], "pictures of leaks"):
        if sample not in files:
            files[sample] = f"pictures/{len(files) + 1:04d}.jpg"
            _write_picture(folder / files[sample], by_id[sample])
    environment = Environment(loader=PackageLoader("maskmill"), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    page = environment.get_template("leaks.html.jinja").render(
        dataset=dataset,
        cards=shown,
        hidden=len(cards) - len(shown),
        files=files,
        counts=_counts(cards),
        remedies={leak["kind"]: leak["remedy"] for leak in leaks},
        titles=KIND_TITLES,
        pictures=len(samples),
        folded=any(leak["fold"] != "0" for leak in leaks),
        table_name=table_name,
        groups_before=sum(map(len, groups.values())),
        groups_after=len(groups),
        united=[names for names in groups.values() if len(names) > 1],
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def _cards(leaks: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """One card for each kind and pair of samples, in the order of the leaks, with its parts in the folds concerned."""
    cards: dict[tuple[str, str, str], dict[str, Any]] = {}
    for leak in leaks:
        ids = leak["id_a"], leak["id_b"]
        card = cards.setdefault(
            (leak["kind"], *ids), {"kind": leak["kind"], "ids": ids, "detail": leak["detail"], "parts": {}}
        )
        card["parts"].setdefault((leak["split_a"], leak["split_b"]), []).append(leak["fold"])
    return list(cards.values())


def _counts(cards: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Kind, the parts that are connected, and the number of pairs that connect them in any fold."""
    counts = Counter(
        (card["kind"], " and ".join(parts)) for card in cards for parts in {tuple(sorted(p)) for p in card["parts"]}
    )
    return [(kind, parts, count) for (kind, parts), count in sorted(counts.items())]


def _write_picture(path: Path, row: dict[str, str]) -> None:
    picture = display_image(read_image(picture_path(row)))
    height, width = picture.shape[:2]
    factor = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    path.parent.mkdir(exist_ok=True)
    write_jpeg(path, cv2.resize(picture, size, interpolation=cv2.INTER_AREA), quality=85)

"""Which samples belong together (scene, patient, site), which parts an official split gives them, and who is near whom.

Groups are assigned when samples are indexed; `maskmill.splits` deals whole groups to training, validation and test.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np

from maskmill.dag.pictures import ARRAY_SUFFIXES, IMAGE_SUFFIXES, strip_suffix
from maskmill.errors import MaskmillError
from maskmill.imaging.georeference import Georeference, read_georeference
from maskmill.indexing.discovery import composed
from maskmill.labels.problems import Problem

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What an official split may call its parts, in any case, and what they are called here."""


def assign_groups(
    rows: Sequence[Mapping[str, object]], split: Mapping[str, object]
) -> tuple[list[dict[str, object]], list[Problem]]:
    """The samples with their group in the column `group`, without those that have none, and why they have none.

    rows: samples with their `id` and `image`. split: the option `dataset.split`, whose `group` is "folder" (the id's
    folder, "." at the root), "image" (each its own), "regex" (first capture group of `pattern`, searched in the id),
    "slab" (`slabs` contiguous runs of each folder's samples in natural order), "blocks" (squares of side `block` on the
    map) or "column" (of the file `table`). With `official`, samples that the official split does not place have no
    group either. Raises MaskmillError where an option or the table is wrong.
    """
    files = {row["id"]: row["image"] for row in rows}
    match split["group"]:
        case "image":
            groups, problems = {sample: sample for sample in files}, []
        case "folder":
            groups, problems = {sample: _folder(sample) for sample in files}, []
        case "slab":
            groups, problems = _slabs(files, split["slabs"]), []
        case "regex":
            groups, problems = _regex_groups(files, split.get("pattern"))
        case "blocks":
            groups, problems = _blocks(files, split.get("block"))
        case "column":
            groups, problems = _table_groups(files, split.get("table"))
        case unknown:
            known = "folder, image, regex, slab, blocks or column"
            raise MaskmillError(f'dataset.split.group "{unknown}" is unknown; use {known}')
    if split.get("official"):
        _, unplaced = official_parts(files, split["official"], split.get("table"))
        problems += unplaced
    rejected = {problem.id for problem in problems}
    return [dict(row) | {"group": groups[row["id"]]} for row in rows if row["id"] not in rejected], problems


def official_parts(files: Mapping[str, str], official: str, table: str | None) -> tuple[dict[str, str], list[Problem]]:
    """The part ("train", "validation", "test") that the official split gives each sample, and those it does not place.

    files: picture by sample id. official: "folder" (the first folder of the id is named after the part) or "table" (the
    column `split` of the file `table`). `PART_NAMES` are understood. Raises MaskmillError where the table is wrong.
    """
    if official == "folder":
        said = {sample: sample.partition("/")[0] for sample in files}
        where = "the first folder of its id"
        remedy = "put the picture below a folder called train, validation or test"
    elif official == "table":
        said = _look_up(files, table, "split")
        where = f"its split in {table}"
        remedy = "write train, validation or test in the table's column split"
    else:
        raise MaskmillError(f'dataset.split.official "{official}" is unknown; use folder or table')
    parts = {sample: PART_NAMES.get(name.strip().casefold(), "") for sample, name in said.items()}
    problems = [
        Problem(
            sample,
            files[sample],
            "no_part",
            f'{where} is "{said[sample]}"' if said[sample] else f"{where} is missing",
            remedy,
        )
        for sample, part in parts.items()
        if not part
    ]
    return {sample: part for sample, part in parts.items() if part}, problems


def neighbours(rows: Sequence[Mapping[str, str]], group: str, buffer: float) -> np.ndarray:
    """Pairs of indices (M, 2) of samples that are too near to each other to be in different parts.

    For the grouping "slab" those at most `buffer` places apart in their folder's natural order; for "blocks" those
    whose footprints' boxes are at most `buffer` apart, in units of their CRS. Raises MaskmillError for other groupings.
    """
    if group == "slab":
        places = {row["id"]: index for index, row in enumerate(rows)}
        runs = [np.array([places[sample] for sample in run]) for run in _sequences(places).values()]
        pairs = [
            np.stack([run[:-step], run[step:]], 1) for run in runs for step in range(1, min(int(buffer) + 1, len(run)))
        ]
        return np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    if group == "blocks":
        return _near_footprints([read_georeference(row["image"]) for row in rows], buffer)
    raise MaskmillError(
        "dataset.split.buffer keeps a distance between neighbours in a stack or on the map, but dataset.split.group is "
        f"{group}; set the group to slab or blocks, or the buffer to 0"
    )


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which "slice_2" comes before "slice_10"."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _folder(sample: str) -> str:
    return PurePosixPath(sample).parent.as_posix()


def _sequences(samples: Iterable[str]) -> dict[str, list[str]]:
    """The samples of each folder in natural order."""
    ordered = sorted(samples, key=lambda sample: (_folder(sample), natural_key(sample)))
    return {folder: list(members) for folder, members in groupby(ordered, key=_folder)}


def _slabs(samples: Iterable[str], slabs: int) -> dict[str, str]:
    groups = {}
    for folder, members in _sequences(samples).items():
        prefix = "" if folder == "." else f"{folder}/"
        for number, run in enumerate(np.array_split(members, slabs), 1):
            groups |= {str(sample): f"{prefix}slab_{number}" for sample in run}
    return groups


def _regex_groups(files: Mapping[str, str], pattern: str | None) -> tuple[dict[str, str], list[Problem]]:
    try:
        expression = re.compile(pattern or "")
    except re.error as error:
        raise MaskmillError(f'dataset.split.pattern "{pattern}" is no regular expression: {error}') from error
    if not expression.groups:
        raise MaskmillError(f'dataset.split.pattern "{pattern}" captures nothing; put the group in parentheses')
    matches = {sample: expression.search(sample) for sample in files}
    groups = {sample: match[1] for sample, match in matches.items() if match and match[1]}
    return groups, [
        Problem(
            sample,
            file,
            "no_group",
            f'dataset.split.pattern "{pattern}" finds no group in "{sample}"',
            "correct dataset.split.pattern, or rename the file",
        )
        for sample, file in files.items()
        if sample not in groups
    ]


def _table_groups(files: Mapping[str, str], table: str | None) -> tuple[dict[str, str], list[Problem]]:
    groups = _look_up(files, table, "group")
    return groups, [
        Problem(sample, files[sample], "no_group", f"{table} has no group for it", "add it to the table")
        for sample, group in groups.items()
        if not group
    ]


def _look_up(samples: Iterable[str], table: str | None, column: str) -> dict[str, str]:
    """What the table says of each sample, "" where nothing.

    The table may name samples by id, by id with the picture's suffix, or by a folder of the id (then all in it).
    """
    if table is None:
        raise MaskmillError(
            f"dataset.split needs a table with the columns id and {column}; give its path in split.table"
        )
    if not Path(table).is_file():
        raise MaskmillError(
            f"dataset.split.table: there is no file {table}; correct the path, which is relative to {Path.cwd()}, "
            "or put the table there"
        )
    with open(table, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = reader.fieldnames or [], list(reader)
    if missing := [name for name in ("id", column) if name not in names]:
        raise MaskmillError(
            f"{table} has no column {' and no column '.join(missing)}; it has {', '.join(names) or 'none'}. "
            f"The first line of the table must name the columns id and {column}, separated by a comma."
        )
    said: dict[str, str] = {}
    conflicts = []
    for row in rows:
        name, value = (row[key] or "" for key in ("id", column))
        sample = composed(strip_suffix(name) if name.lower().endswith(IMAGE_SUFFIXES + ARRAY_SUFFIXES) else name)
        if said.setdefault(sample, value) != value:
            conflicts.append(f'  "{name}": {said[sample]} and {value}')
    if conflicts:
        raise MaskmillError(f"{table} contradicts itself in the column {column}:\n" + "\n".join(conflicts))
    return {
        sample: next((said[key] for key in (sample, *map(str, PurePosixPath(sample).parents)) if key in said), "")
        for sample in samples
    }


def _blocks(files: Mapping[str, str], block: float | None) -> tuple[dict[str, str], list[Problem]]:
    """Squares of side `block` on the map, counted from the least x and y of all footprints, by footprint's centre."""
    if block is None:
        raise MaskmillError(
            "dataset.split.group blocks needs dataset.split.block, the side of a block in units of the pictures' CRS "
            "(metres for UTM), some times the size of a picture"
        )
    boxes, problems = {}, []
    for sample, file in files.items():
        try:
            place, detail = read_georeference(file), "the picture says nothing about where on the map it lies"
        except MaskmillError as error:
            place, detail = None, str(error)
        if place is None:
            remedy = "save it as GeoTIFF or add a world file, or choose another dataset.split.group"
            problems.append(Problem(sample, file, "missing_georeference", detail, remedy))
        else:
            boxes[sample] = place.crs, _map_box(place)
    systems = sorted({crs or "" for crs, _ in boxes.values()})
    least = {
        system: np.min([box for crs, box in boxes.values() if (crs or "") == system], axis=0) for system in systems
    }
    groups = {}
    for sample, (crs, box) in boxes.items():
        column, row = np.floor(((box[:2] + box[2:]) / 2 - least[crs or ""][:2]) / block).astype(int)
        prefix = f"crs_{systems.index(crs or '') + 1}/" if len(systems) > 1 else ""
        groups[sample] = f"{prefix}block_{column}_{row}"
    return groups, problems


def _map_box(place: Georeference) -> np.ndarray:
    """Least x, least y, greatest x, greatest y of a footprint in its own CRS."""
    return np.array(place.bounds_in(place.crs))


def _near_footprints(places: Sequence[Georeference], buffer: float) -> np.ndarray:
    import shapely

    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for system in sorted({place.crs or "" for place in places}):
        members = np.array([index for index, place in enumerate(places) if (place.crs or "") == system])
        boxes = shapely.box(*np.array([_map_box(places[index]) for index in members]).T)
        near = shapely.STRtree(boxes).query(boxes, predicate="dwithin", distance=buffer).T
        pairs.append(members[near[near[:, 0] < near[:, 1]]])
    return np.concatenate(pairs)

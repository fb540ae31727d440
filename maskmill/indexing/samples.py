"""List the samples of a data set with all that later stages need to know, and deal them to shards."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import partial
from pathlib import Path

from maskmill.annotations import eiseg, geojson, nifti, voc
from maskmill.annotations.formats import FORMATS, LabelOptions
from maskmill.annotations.shapes import AnnotationError, Finding
from maskmill.dag.sharding import shard_count, shard_of
from maskmill.dag.sources import list_files
from maskmill.files import atomic_path, sha256_file, sha256_json, write_table
from maskmill.imaging.images import ImageError, image_header
from maskmill.imaging.volumes import is_stack, stack_header
from maskmill.indexing.groups import assign_groups
from maskmill.indexing.pairing import Pair, find_pairs
from maskmill.indexing.recognise import recognise
from maskmill.labels.problems import BROKEN_IMAGE_REMEDY, Problem, write_problems
from maskmill.logs import progress
from maskmill.wording import count_of

MANIFEST_COLUMNS = (
    "id",
    "image",
    "annotation",
    "entry",
    "format",
    "width",
    "height",
    "depth",
    "channels",
    "dtype",
    "group",
    "shard",
    "sha256_image",
    "sha256_annotation",
)

_COMPANIONS = {"voc": voc.companions, "eiseg": eiseg.companions}
"""Give the files, such as lists of labels, that an annotation is read together with."""

logger = logging.getLogger(__name__)


def index_samples(
    source: Mapping[str, str],
    labels: Mapping[str, object],
    split: Mapping[str, object],
    manifest: str,
    problems: str,
    shards_dir: str,
    threads: int = 1,
) -> None:
    """List the samples of a data set and what is wrong with its files.

    source and split: the options `dataset.source` and `dataset.split`; labels: the fields of `LabelOptions`. What makes
    a picture and an annotation one sample: `pairing.find_pairs`; what belongs together: `groups.assign_groups`. A stack
    (volume, series, file of several pages) is one sample or one a slice, as `source["stacks"]` says.

    Writes `manifest` (samples that paired and whose picture could be opened, sorted by id), `problems` and the folder
    `shards_dir` with the manifest's rows of each shard that has any. Raises MaskmillError where an option is wrong.
    """
    options = LabelOptions(**labels)
    if source["format"] == "auto":
        name, saw = recognise(source, options.classes)
        logger.info("format auto: %s", saw)
        source = {**source, "format": name}
    pairs, found = find_pairs(source)
    rows = []
    describe = partial(_describe_pair, source=source, options=options)
    with ThreadPoolExecutor(threads) as pool:
        for described, wrong in progress(pool.map(describe, pairs, pairs.values()), "index", len(pairs)):
            rows += described
            found += wrong
    rows, ungrouped = assign_groups(rows, split)
    _write_index(rows, found + ungrouped, manifest, problems, shards_dir)


def _describe_pair(
    sample: str, pair: Pair, source: Mapping[str, str], options: LabelOptions
) -> tuple[list[dict], list[Problem]]:
    """The manifest rows of a pair, still without group and shard, and what is wrong with its files."""
    try:
        if is_stack(pair.image):
            header = stack_header(pair.image)
            size = header.width, header.height, header.depth, header.channels, header.dtype
        else:
            width, height, channels, dtype = image_header(pair.image)
            size = width, height, 1, channels, dtype
        row = _row(sample, pair, source["format"], size, options)
    except ImageError as error:
        return [], [Problem(sample, pair.image, "broken_image", error.reason, BROKEN_IMAGE_REMEDY)]
    except AnnotationError as error:
        return [], _problems(sample, pair.annotation, error)
    if not is_stack(pair.image) or (source["stacks"] == "volume" and row["depth"] > 1):
        return [row], []
    try:
        return _slices(row), []
    except AnnotationError as error:
        return [], _problems(sample, pair.annotation, error)


def _problems(sample: str, annotation: str, error: AnnotationError) -> list[Problem]:
    return [Problem(sample, annotation, *astuple(finding)) for finding in error.findings]


def _row(sample: str, pair: Pair, format_name: str, size: tuple, options: LabelOptions) -> dict:
    width, height, depth, channels, dtype = size
    digest = _digest(pair.image)
    return {
        "id": sample,
        "image": pair.image,
        "annotation": pair.annotation,
        "entry": pair.entry,
        "format": format_name,
        "width": width,
        "height": height,
        "depth": depth,
        "channels": channels,
        "dtype": dtype,
        "sha256_image": digest,
        "sha256_annotation": digest
        if pair.annotation == pair.image
        else _annotation_digest(pair, format_name, options),
    }


def _annotation_digest(pair: Pair, format_name: str, options: LabelOptions) -> str:
    if FORMATS[format_name].layout == "layer":
        return geojson.layer_digest(pair.annotation, pair.image, options)
    if format_name in _COMPANIONS:
        files = [pair.annotation, *_COMPANIONS[format_name](pair.annotation)]
        return sha256_json([sha256_file(file) for file in files])
    return pair.digest or _digest(pair.annotation)


def _digest(path: str) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of a folder's files."""
    if Path(path).is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in list_files(path):
        digest.update(f"{file}\0{sha256_file(Path(path, file))}\n".encode())
    return digest.hexdigest()


def _slices(row: Mapping[str, object]) -> list[dict]:
    """A row for each slice of a stack, with the slice of its annotation; AnnotationError where that does not fit."""
    depth, annotation = row["depth"], row["annotation"]
    try:
        findings = nifti.geometry_findings(annotation, row["image"]) if row["format"] == "nifti" else []
        found = stack_header(annotation).depth if is_stack(annotation) else 0
    except ImageError as error:
        remedy = "replace the file, or take it and its picture away"
        raise AnnotationError(Finding("broken_annotation", error.reason, remedy)) from error
    if not findings and found != depth:
        detail = f"has {count_of(found, 'slice')}, and the picture has {depth}"
        if not found:
            detail = "is no stack of slices, as its picture is"
        remedy = "annotate every slice, in one file of the same number of slices"
        findings = [Finding("size_mismatch", detail, remedy)]
    if findings:
        raise AnnotationError(*findings)
    digits = max(3, len(str(depth - 1)))
    return [
        {
            **row,
            "id": f"{row['id']}/{number:0{digits}}",
            "image": f"{row['image']}#page={number}",
            "annotation": f"{annotation}#page={number}",
            "depth": 1,
        }
        for number in range(depth)
    ]


def _stack_id(row: Mapping[str, object]) -> str:
    """The id of a sample or, of a slice, that of its stack."""
    return row["id"].rpartition("/")[0] if "#page=" in row["image"] else row["id"]


def _write_index(rows: list[dict], found: list[Problem], manifest: str, problems: str, shards_dir: str) -> None:
    megapixels = sum(row["width"] * row["height"] * row["depth"] for row in rows) / 1e6
    count = shard_count(megapixels, len(rows))
    shards = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["id"]):
        # the slices of a stack stay together, so that one job opens it
        row["shard"] = shard_of(_stack_id(row), count)
        shards[row["shard"]].append(row)
    write_table(manifest, sorted(rows, key=lambda row: row["id"]), MANIFEST_COLUMNS)
    write_problems(problems, found)
    with atomic_path(shards_dir) as folder:
        folder.mkdir()
        for shard, members in shards.items():
            write_table(folder / f"{shard}.csv", members, MANIFEST_COLUMNS)
    unit = "megavoxels" if any(row["depth"] > 1 for row in rows) else "megapixels"
    size = f"{megapixels:.1f}" if megapixels >= 1 else f"{megapixels:.2g}"
    logger.info("samples: %d, shards: %d, %s: %s, problems: %d", len(rows), len(shards), unit, size, len(found))

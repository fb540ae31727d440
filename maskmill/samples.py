"""Find the pictures and annotations of a data set, pair them, and list them with all that later stages need to know."""

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np

from maskmill.annotations import labelme
from maskmill.annotations.masks import MASK_SUFFIXES
from maskmill.annotations.shapes import AnnotationError
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, sha256_file, write_table
from maskmill.images import ImageError, image_header
from maskmill.logs import progress
from maskmill.pictures import IMAGE_SUFFIXES
from maskmill.problems import BROKEN_IMAGE_REMEDY, Problem, write_problems
from maskmill.sharding import shard_count, shard_of
from maskmill.sources import list_files

MANIFEST_COLUMNS = (
    "id",
    "image",
    "annotation",
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

ANNOTATION_SUFFIXES = {"labelme": (".json",), "png": MASK_SUFFIXES}

logger = logging.getLogger(__name__)


def index_samples(
    source: Mapping[str, str],
    group: str,
    group_pattern: str | None,
    slabs: int,
    manifest: str,
    problems: str,
    shards_dir: str,
    threads: int = 1,
) -> None:
    """List the samples of a data set and what is wrong with its files.

    source is the option `dataset.source`; group, group_pattern and slabs say what belongs together (`assign_groups`).
    A picture and an annotation are one sample if their ids agree: the path below their folder without its suffix or,
    with patterns, the values of the patterns' fields.

    Writes `manifest` (samples that paired and whose picture could be opened, sorted by id), `problems` and the folder
    `shards_dir` with the manifest's rows of each shard that has any. Raises MaskmillError where an option is wrong.
    """
    pictures, annotations, found = find_pairs(source)
    rows = []
    read = partial(_describe_sample, pictures, annotations)
    with ThreadPoolExecutor(threads) as pool:
        for row in progress(pool.map(read, sorted(pictures)), "index", len(pictures)):
            if isinstance(row, Problem):
                found.append(row)
            else:
                rows.append(row)
    groups, ungrouped = assign_groups([row["id"] for row in rows], group, group_pattern, slabs)
    files = {row["id"]: row["image"] for row in rows}
    found += [
        Problem(sample, files[sample], "no_group", detail, "correct dataset.split.pattern, or rename the file")
        for sample, detail in ungrouped.items()
    ]
    rows = [row | {"group": groups[row["id"]]} for row in rows if row["id"] in groups]
    _write_index(rows, found, manifest, problems, shards_dir)


def _describe_sample(pictures: Mapping[str, str], annotations: Mapping[str, str], sample: str) -> dict | Problem:
    """The manifest row of a pair, still without group and shard, or the problem with its picture."""
    image, annotation = pictures[sample], annotations[sample]
    try:
        width, height, channels, dtype = image_header(image)
    except ImageError as error:
        return Problem(sample, image, "broken_image", error.reason, BROKEN_IMAGE_REMEDY)
    digest = sha256_file(image)
    return {
        "id": sample,
        "image": image,
        "annotation": annotation,
        "width": width,
        "height": height,
        "depth": 1,
        "channels": channels,
        "dtype": dtype,
        "sha256_image": digest,
        "sha256_annotation": digest if annotation == image else sha256_file(annotation),
    }


def _write_index(rows: list[dict], found: list[Problem], manifest: str, problems: str, shards_dir: str) -> None:
    megapixels = sum(row["width"] * row["height"] for row in rows) / 1e6
    count = shard_count(megapixels, len(rows))
    shards = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["id"]):
        row["shard"] = shard_of(row["id"], count)
        shards[row["shard"]].append(row)
    write_table(manifest, sorted(rows, key=lambda row: row["id"]), MANIFEST_COLUMNS)
    write_problems(problems, found)
    with atomic_path(shards_dir) as folder:
        folder.mkdir()
        for shard, members in shards.items():
            write_table(folder / f"{shard}.csv", members, MANIFEST_COLUMNS)
    logger.info("%d samples in %d shards, %.1f megapixels, %d problems", len(rows), len(shards), megapixels, len(found))


def find_pairs(source: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], list[Problem]]:
    """Paths of pictures and of annotations by sample id, the same ids in both, and the problems of all other files."""
    suffixes = ANNOTATION_SUFFIXES.get(source["format"])
    if suffixes is None:
        raise MaskmillError(f'dataset.source.format "{source["format"]}" is unknown; use labelme or png')
    patterns = [source.get("image_pattern"), source.get("annotation_pattern")]
    fields = _check_patterns(*patterns)
    if source["format"] == "png" and not fields and Path(source["images"]) == Path(source["annotations"]):
        raise MaskmillError(
            f"pictures and masks are both looked for in {source['images']}; tell them apart with "
            'dataset.source.image_pattern and annotation_pattern, such as "{stem}.jpg" and "{stem}.png"'
        )
    pictures, problems = _find_files(source["images"], patterns[0], fields, IMAGE_SUFFIXES, "pictures")
    annotations, more = _find_files(source["annotations"], patterns[1], fields, suffixes, "annotations")
    lonely = sorted(annotations.keys() - pictures.keys() - {problem.id for problem in problems})
    for sample in lonely:
        if source["format"] == "labelme" and _has_embedded_picture(annotations[sample]):
            pictures[sample] = annotations[sample]
    if pictures:  # all of them may be embedded
        problems = [problem for problem in problems if problem.kind != "empty_folder"]
    problems += more
    rejected = {problem.id for problem in problems}
    if pictures and annotations:
        problems += _unpaired(pictures, annotations, rejected, source)
    paired = sorted((pictures.keys() & annotations.keys()) - rejected)
    return {sample: pictures[sample] for sample in paired}, {sample: annotations[sample] for sample in paired}, problems


def _check_patterns(image_pattern: str | None, annotation_pattern: str | None) -> list[str] | None:
    """The fields of both patterns in the order of the first, None where there are no patterns."""
    if not image_pattern and not annotation_pattern:
        return None
    if not (image_pattern and annotation_pattern):
        raise MaskmillError("dataset.source has one of image_pattern and annotation_pattern; give both or none")
    fields = [list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern))) for pattern in (image_pattern, annotation_pattern)]
    if not fields[0] or set(fields[0]) != set(fields[1]):
        raise MaskmillError(
            f'image_pattern "{image_pattern}" has the fields {fields[0]} and annotation_pattern "{annotation_pattern}" '
            f"has {fields[1]}; both need the same ones, at least one, such as {{stem}}"
        )
    return fields[0]


def _pattern_expression(pattern: str) -> re.Pattern:
    """Regular expression of a path pattern: every field is a path component or a part of one."""
    parts, seen = [], set()
    for text in re.split(r"(\{\w+\})", pattern):
        field = text[1:-1]
        if not re.fullmatch(r"\{\w+\}", text):
            parts.append(re.escape(text))
        elif field in seen:
            parts.append(f"(?P={field})")
        else:
            seen.add(field)
            parts.append(f"(?P<{field}>[^/]+)")
    return re.compile("".join(parts))


def _find_files(
    root: str, pattern: str | None, fields: list[str] | None, suffixes: tuple[str, ...], what: str
) -> tuple[dict[str, str], list[Problem]]:
    """Paths by sample id of the files below `root`; the problems are a missing or empty folder and ids that meet."""
    if not Path(root).is_dir():
        return {}, [Problem("", root, "missing_folder", f"there is no such folder of {what}", "correct dataset.source")]
    files = list_files(root)
    expression = _pattern_expression(pattern) if pattern else None
    by_id = defaultdict(list)
    for file in files:
        if (sample := _sample_id(file, expression, fields, suffixes)) is not None:
            by_id[sample].append((Path(root) / file).as_posix())
    if not by_id:
        return {}, [_empty_folder(root, pattern, suffixes, what, files)]
    problems = _duplicates(by_id, what)
    return {sample: paths[0] for sample, paths in by_id.items()}, problems


def _sample_id(
    file: str, expression: re.Pattern | None, fields: list[str] | None, suffixes: tuple[str, ...]
) -> str | None:
    """Sample id of a file's path below its root, None where the file is not looked for. Unicode is composed (NFC)."""
    if expression is None:
        path = PurePosixPath(file)
        sample = path.with_suffix("").as_posix() if path.suffix.lower() in suffixes else None
    else:
        match = expression.fullmatch(file)
        sample = "/".join(match[field] for field in fields) if match else None
    return sample and unicodedata.normalize("NFC", sample)


def _empty_folder(root: str, pattern: str | None, suffixes: tuple[str, ...], what: str, files: list[str]) -> Problem:
    wanted = f'match "{pattern}"' if pattern else f"end in {', '.join(suffixes)}"
    present = Counter(PurePosixPath(file).suffix.lower() or "none" for file in files)
    listed = ", ".join(f"{count} with suffix {suffix}" for suffix, count in present.most_common(5)) or "no file at all"
    example = f", such as {files[0]}" if files else ""
    detail = f"holds no {what}: none of its files {wanted}; found {listed}{example}"
    return Problem("", root, "empty_folder", detail, "correct dataset.source, or put the files there")


def _duplicates(by_id: Mapping[str, list[str]], what: str) -> list[Problem]:
    """Files whose ids are the same, or the same but for upper and lower case."""
    meeting = defaultdict(list)
    for sample, paths in by_id.items():
        meeting[sample.casefold()] += [(sample, path) for path in paths]
    remedy = "rename all but one of them, or take them away"
    return [
        Problem(sample, path, "duplicate_id", f"{what} with one id: {', '.join(sorted(p for _, p in members))}", remedy)
        for members in meeting.values()
        if len(members) > 1
        for sample, path in members
    ]


def _has_embedded_picture(path: str) -> bool:
    try:
        return isinstance(labelme.load(path).get("imageData"), str)
    except AnnotationError:
        return False


def _unpaired(
    pictures: Mapping[str, str], annotations: Mapping[str, str], rejected: set[str], source: Mapping[str, str]
) -> list[Problem]:
    problems = []
    for sample in sorted(pictures.keys() - annotations.keys() - rejected):
        detail = f'no annotation with the id "{sample}" below {source["annotations"]}'
        remedy = "annotate the picture (save it without shapes if there is nothing on it), or take it away"
        problems.append(Problem(sample, pictures[sample], "missing_annotation", detail, remedy))
    for sample in sorted(annotations.keys() - pictures.keys() - rejected):
        detail = f'no picture with the id "{sample}" below {source["images"]}'
        problems.append(_missing_picture(sample, annotations[sample], detail, source["format"]))
    return problems


def _missing_picture(sample: str, annotation: str, detail: str, source_format: str) -> Problem:
    remedy = "put the picture there under the annotation's name, or take the annotation away"
    if source_format == "labelme":
        try:
            name = labelme.picture(labelme.load(annotation))
        except AnnotationError as error:
            finding = error.findings[0]
            return Problem(sample, annotation, finding.kind, f"{finding.detail}; and {detail}", finding.remedy)
        detail += f', none is embedded, and the file names "{name}"' if name else ", and none is embedded"
    return Problem(sample, annotation, "missing_picture", detail, remedy)


def assign_groups(
    samples: Iterable[str], group: str, pattern: str | None, slabs: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Group (scene, patient, site) of every sample id, and the reason for those that have none.

    group: "folder" (the id's folder, "." at the root), "image" (each its own), "regex" (first capture group of
    `pattern`, searched in the id) or "slab" (`slabs` contiguous runs of each folder's samples in natural order).
    """
    samples = list(samples)
    if group == "image":
        return {sample: sample for sample in samples}, {}
    if group == "folder":
        return {sample: _folder(sample) for sample in samples}, {}
    if group == "slab":
        return _slabs(samples, slabs), {}
    if group == "regex":
        return _regex_groups(samples, pattern)
    raise MaskmillError(f'dataset.split.group "{group}" is unknown; use folder, image, regex or slab')


def _regex_groups(samples: list[str], pattern: str | None) -> tuple[dict[str, str], dict[str, str]]:
    try:
        expression = re.compile(pattern or "")
    except re.error as error:
        raise MaskmillError(f'dataset.split.pattern "{pattern}" is no regular expression: {error}') from error
    if not expression.groups:
        raise MaskmillError(f'dataset.split.pattern "{pattern}" captures nothing; put the group in parentheses')
    matches = {sample: expression.search(sample) for sample in samples}
    groups = {sample: match[1] for sample, match in matches.items() if match and match[1]}
    missing = {s: f'dataset.split.pattern "{pattern}" finds no group in "{s}"' for s in samples if s not in groups}
    return groups, missing


def _slabs(samples: list[str], slabs: int) -> dict[str, str]:
    groups = {}
    for folder, members in groupby(sorted(samples, key=lambda s: (_folder(s), natural_key(s))), key=_folder):
        prefix = "" if folder == "." else f"{folder}/"
        for number, run in enumerate(np.array_split(list(members), slabs), 1):
            groups |= {str(sample): f"{prefix}slab_{number}" for sample in run}
    return groups


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key by which "slice_2" comes before "slice_10"."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _folder(sample: str) -> str:
    return PurePosixPath(sample).parent.as_posix()

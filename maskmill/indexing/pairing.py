"""Pair the pictures of a data set with their annotations, by sample id or by the picture's name that a file states."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskmill.annotations import eiseg, labelme, voc
from maskmill.annotations.formats import FORMATS, list_entries
from maskmill.annotations.shapes import AnnotationError
from maskmill.dag.pictures import ARRAY_SUFFIXES, IMAGE_SUFFIXES, VOLUME_SUFFIXES, strip_suffix
from maskmill.dag.sources import list_files
from maskmill.errors import MaskmillError
from maskmill.indexing.discovery import composed, find_files, id_finder, wanted_files
from maskmill.labels.problems import Problem
from maskmill.wording import count_of

_DROP_REMEDY = "annotate the picture (save it without shapes if there is nothing on it), or take it away"

_CONVERT_REMEDY = "convert it to PNG, JPEG or TIFF of the same name"

_UNREAD = (".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".dng", ".nef", ".cr2", ".svg", ".pdf", ".mp4")
"""Suffixes of pictures, and of what people take for one, that are not read."""


@dataclass(frozen=True)
class Pair:
    """A picture and where its annotation is: a file or folder, and in a collection the entry and its digest."""

    image: str
    annotation: str
    entry: str = ""
    digest: str | None = None


def find_pairs(source: Mapping[str, str]) -> tuple[dict[str, Pair], list[Problem]]:
    """The pairs of a data set by sample id, and the problems of all files that are in none.

    source: the option `dataset.source`, its format recognised. The id of a file is its path below its folder without
    suffix or, with patterns, the values of the image pattern's fields. Collections name the picture of each entry: its
    path below the pictures' folder, or its name alone where that is unique. Raises MaskmillError where an option is
    wrong.
    """
    layout = FORMATS[source["format"]].layout
    fields = _check_patterns(source, layout)
    pictures, problems = _find_pictures(source, fields)
    if layout == "collection":
        pairs, more = _pair_entries(source, pictures)
    else:
        find = {"file": _annotation_files, "layer": _layers, "objects": _object_files}[layout]
        annotations, more = find(source, fields, pictures)
        if source["format"] == "labelme" and _same_folder(source):
            pictures |= _embedded_pictures(annotations, pictures, {problem.id for problem in more})
        more += _unpaired(pictures, annotations, {problem.id for problem in problems + more}, source)
        pairs = {sample: Pair(pictures[sample], annotations[sample]) for sample in pictures.keys() & annotations.keys()}
    if pictures:  # all of them may be embedded
        problems = [problem for problem in problems if problem.kind != "empty_folder"]
    problems += more
    if source["format"] == "labelme":
        problems += _misnamed(pairs, pictures)
    rejected = {problem.id for problem in problems}
    return {sample: pairs[sample] for sample in sorted(pairs) if sample not in rejected}, problems


def _check_patterns(source: Mapping[str, str], layout: str) -> list[str] | None:
    """The fields of the image pattern, None where there are no patterns."""
    image_pattern, annotation_pattern = source.get("image_pattern"), source.get("annotation_pattern")
    if not image_pattern and not annotation_pattern:
        if layout in ("file", "objects") and source["format"] != "labelme" and _same_folder(source):
            _refuse_one_folder(source)
        return None
    if layout in ("collection", "layer"):
        raise MaskmillError(
            f"dataset.source.image_pattern and annotation_pattern have no meaning for {FORMATS[source['format']].title}"
            ": its files say themselves which pictures they are about; leave the patterns out"
        )
    if not (image_pattern and annotation_pattern):
        raise MaskmillError("dataset.source.image_pattern and annotation_pattern go together; give both or none")
    fields = [list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern))) for pattern in (image_pattern, annotation_pattern)]
    wrong = set(fields[0]) - set(fields[1]) if layout == "objects" else set(fields[0]) ^ set(fields[1])
    if not fields[0] or wrong:
        more = ' (a mask file for every object is "format: instances")' if set(fields[0]) < set(fields[1]) else ""
        raise MaskmillError(
            f'image_pattern "{image_pattern}" has the fields {fields[0]} and annotation_pattern "{annotation_pattern}" '
            f"has {fields[1]}; both need the same ones, at least one, such as {{stem}}{more}"
        )
    return fields[0]


def _same_folder(source: Mapping[str, str]) -> bool:
    return Path(source["images"]) == Path(source["annotations"])


def _refuse_one_folder(source: Mapping[str, str]) -> None:
    if source["format"] == "eiseg":
        return
    raise MaskmillError(
        f"pictures and masks are both looked for in {source['images']}; tell them apart with "
        'dataset.source.image_pattern and annotation_pattern, such as "{stem}.jpg" and "{stem}.png"'
    )


def _find_pictures(source: Mapping[str, str], fields: list[str] | None) -> tuple[dict[str, str], list[Problem]]:
    """Paths of the pictures by sample id; a folder of DICOM files is one picture.

    Masks are pictures to look at, so that what lies among the annotations is none: without a pattern, files below a
    folder of annotations within that of the pictures, and below EISeg's own folders.
    """
    suffixes = IMAGE_SUFFIXES + ARRAY_SUFFIXES + VOLUME_SUFFIXES
    pattern = source.get("image_pattern")
    find = id_finder(pattern, fields, suffixes)
    if pattern:
        return find_files(source["images"], find, wanted_files(pattern, suffixes), "pictures")
    root, annotations = (Path(source[key]).absolute() for key in ("images", "annotations"))
    within = f"{annotations.relative_to(root).as_posix()}/" if root in annotations.parents else None

    def find_picture(file: str) -> str | None:
        if (within and file.startswith(within)) or (source["format"] == "eiseg" and eiseg.is_output(file)):
            return None
        return find(file)

    return find_files(source["images"], find_picture, wanted_files(None, suffixes), "pictures")


def _annotation_files(
    source: Mapping[str, str], fields: list[str] | None, pictures: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """Paths of the annotation files by sample id."""
    suffixes = FORMATS[source["format"]].suffixes
    pattern = source.get("annotation_pattern")
    if source["format"] == "voc" and not pattern:
        return find_files(source["annotations"], voc.sample_id, wanted_files(None, suffixes), "annotations")
    if source["format"] == "eiseg" and not pattern:
        chosen = {
            path: composed(sample) for sample, path in eiseg.sample_files(list_files(source["annotations"])).items()
        }
        return find_files(source["annotations"], chosen.get, wanted_files(None, suffixes), "annotations")
    find, wanted = id_finder(pattern, fields, suffixes), wanted_files(pattern, suffixes)
    return find_files(source["annotations"], find, wanted, "annotations")


def _object_files(
    source: Mapping[str, str], fields: list[str] | None, pictures: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """By sample id the file of object numbers, or the folder that holds one mask file an object."""
    root, pattern = source["annotations"], source.get("annotation_pattern")
    if pattern and len(set(re.findall(r"\{(\w+)\}", pattern))) == len(fields):
        return _annotation_files(source, fields, pictures)
    if not pattern:
        files, problems = _annotation_files(source, fields, pictures)
        if not pictures or files.keys() & pictures.keys():
            return files, problems
    find = id_finder(pattern, fields, FORMATS["instances"].suffixes) if pattern else _owner(pictures)
    folders: dict[str, str] = {}
    for file in list_files(root):
        sample = find(file)
        if sample is not None:
            folder = (Path(root) / file).parent.as_posix()
            folders[sample] = _common_folder(folders.get(sample, folder), folder)
    if folders:
        return folders, []
    return find_files(root, lambda file: None, "lie in a folder called like a picture", "object masks")


def _owner(pictures: Mapping[str, str]) -> Callable[[str], str | None]:
    """Finds the picture that an object's mask belongs to: the one called like a folder the mask lies in."""
    by_name = {PurePosixPath(sample).name: sample for sample in pictures}

    def find(file: str) -> str | None:
        path = PurePosixPath(file)
        if path.suffix.lower() not in FORMATS["instances"].suffixes:
            return None
        for folder in path.parents[:-1]:
            if folder.as_posix() in pictures:
                return folder.as_posix()
        return next((by_name[folder.name] for folder in path.parents[:-1] if folder.name in by_name), None)

    return find


def _common_folder(first: str, second: str) -> str:
    parts = [a for a, b in zip(PurePosixPath(first).parts, PurePosixPath(second).parts, strict=False) if a == b]
    return PurePosixPath(*parts).as_posix()


def _layers(
    source: Mapping[str, str], fields: list[str] | None, pictures: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """By sample id the vector file of that name or else the one vector file there is."""
    files, problems = _collection_files(source)
    by_id = {composed(strip_suffix(file.removeprefix(f"{source['annotations']}/"))): file for file in files}
    if len(files) == 1 and not by_id.keys() & pictures.keys():
        return dict.fromkeys(pictures, files[0]), problems
    return by_id, problems


def _collection_files(source: Mapping[str, str]) -> tuple[list[str], list[Problem]]:
    """The files of a collection: `annotations` itself, or all files of the format's suffixes below it."""
    root, suffixes = source["annotations"], FORMATS[source["format"]].suffixes
    if Path(root).is_file():
        return [Path(root).as_posix()], []
    find, wanted = id_finder(None, None, suffixes), wanted_files(None, suffixes)
    found, problems = find_files(root, find, wanted, "annotations", unique=False)
    return sorted(found.values()), problems


def _pair_entries(source: Mapping[str, str], pictures: Mapping[str, str]) -> tuple[dict[str, Pair], list[Problem]]:
    """Pair the entries of all collections with the pictures they name."""
    files, problems = _collection_files(source)
    entries = defaultdict(list)
    by_name = defaultdict(list)
    for sample in pictures:
        by_name[PurePosixPath(sample).name].append(sample)
    for file in files:
        try:
            for entry in list_entries(source["format"], file):
                entries[_entry_sample(entry.picture, pictures, by_name)].append((file, entry))
        except AnnotationError as error:
            problems += [Problem("", file, f.kind, f.detail, f.remedy) for f in error.findings]
    pairs = {}
    for sample, places in entries.items():
        file, entry = places[0]
        if len(places) > 1:
            listed = ", ".join(sorted({file for file, _ in places}))
            detail = f'{len(places)} entries for the picture "{entry.picture}", in {listed}'
            problems.append(Problem(sample, file, "duplicate_id", detail, "leave one of them"))
        elif sample in pictures:
            pairs[sample] = Pair(pictures[sample], file, entry.key, entry.digest)
        else:
            detail = f'no picture "{entry.picture}" below {source["images"]}'
            remedy = "put the picture there under that name, or take the entry out of the file"
            if unread := _unread_file(source["images"], sample):
                detail, remedy = f"{detail}, only {unread}, which is not read", _CONVERT_REMEDY
            problems.append(Problem(sample, file, "missing_picture", detail, remedy))
    if files and not any(
        problem.file in files for problem in problems if not problem.id
    ):  # a broken file may name them
        named = {problem.id for problem in problems}
        problems += [
            Problem(
                sample,
                pictures[sample],
                "missing_annotation",
                f"no file below {source['annotations']} names it",
                _DROP_REMEDY,
            )
            for sample in sorted(pictures.keys() - pairs.keys() - named)
        ]
    return pairs, problems


def _entry_sample(picture: str, pictures: Mapping[str, str], by_name: Mapping[str, list[str]]) -> str:
    """Sample id of the picture that an entry names: its path, or the only one whose path ends alike; else the path.

    Paths end alike if one is the end of the other, so that pictures may lie in more or in fewer folders than stated.
    """
    sample = composed(strip_suffix(picture.removeprefix("./").lstrip("/")))
    if sample in pictures:
        return sample
    alike = [
        candidate
        for candidate in by_name.get(PurePosixPath(sample).name, [])
        if f"/{candidate}".endswith(f"/{sample}") or f"/{sample}".endswith(f"/{candidate}")
    ]
    return alike[0] if len(alike) == 1 else sample


def _misnamed(pairs: Mapping[str, Pair], pictures: Mapping[str, str]) -> list[Problem]:
    """The labelme files that name another picture of the data set, as copies do; labelme would open that one.

    Where pictures and files are in folders of their own, the picture of that name beside the pair's is meant. Names of
    pictures that are not there do no harm.
    """
    samples = {_absolute(image): sample for sample, image in pictures.items()}
    problems = []
    for sample, pair in pairs.items():
        try:
            name = labelme.picture(labelme.load(pair.annotation)) or ""
        except AnnotationError:  # said where the file is drawn
            continue
        places = Path(pair.annotation).parent / name, Path(pair.image).parent / PurePosixPath(name).name
        named = next((samples[place] for place in map(_absolute, places) if place in samples), sample)
        if named != sample:
            detail = f'names the picture "{name}" of the sample "{named}", but has the name of {pair.image}'
            remedy = (
                "see in labelme which of the two was annotated; then correct imagePath in the file, or annotate anew"
            )
            problems.append(Problem(sample, pair.annotation, "other_picture", detail, remedy))
    return problems


def _absolute(path: str | os.PathLike) -> str:
    """An absolute path without "..", symbolic links as they are."""
    return os.path.normpath(Path(path).absolute())


def _embedded_pictures(
    annotations: Mapping[str, str], pictures: Mapping[str, str], rejected: set[str]
) -> dict[str, str]:
    """The labelme files without a picture of their id that hold the picture themselves."""
    lonely = sorted(annotations.keys() - pictures.keys() - rejected)
    return {sample: annotations[sample] for sample in lonely if _has_embedded_picture(annotations[sample])}


def _has_embedded_picture(path: str) -> bool:
    try:
        return bool(labelme.load(path).get("imageData"))
    except AnnotationError:
        return False


def _unpaired(
    pictures: Mapping[str, str], annotations: Mapping[str, str], rejected: set[str], source: Mapping[str, str]
) -> list[Problem]:
    if not pictures or not annotations:
        return []
    if not pictures.keys() & annotations.keys():
        return _foreign_files(annotations, source) or [_no_pairs(pictures, annotations, source)]
    problems = []
    for sample in sorted(pictures.keys() - annotations.keys() - rejected):
        detail = f'no annotation with the id "{sample}" below {source["annotations"]}'
        problems.append(Problem(sample, pictures[sample], "missing_annotation", detail, _DROP_REMEDY))
    for sample in sorted(annotations.keys() - pictures.keys() - rejected):
        detail = f'no picture with the id "{sample}" below {source["images"]}'
        if unread := _unread_file(source["images"], sample):
            detail = f"{detail}, only {unread}, which is not read"
            problems.append(Problem(sample, annotations[sample], "missing_picture", detail, _CONVERT_REMEDY))
        else:
            problems.append(_missing_picture(sample, annotations[sample], detail, source["format"]))
    return problems


def _unread_file(root: str, sample: str) -> str:
    """Name of a sample's picture in a format that is not read, "" where there is none."""
    names = (f"{PurePosixPath(sample).name}{suffix}" for suffix in (*_UNREAD, *map(str.upper, _UNREAD)))
    return next((name for name in names if Path(root, sample).with_name(name).is_file()), "")


def _foreign_files(annotations: Mapping[str, str], source: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the annotations if none of them is a file of labelme's, as where the format is another one."""
    problems = []
    for sample, path in sorted(annotations.items() if source["format"] == "labelme" else ()):
        try:
            labelme.load(path)
            return []
        except AnnotationError as error:
            problems += [Problem(sample, path, f.kind, f.detail, f.remedy) for f in error.findings]
    return problems


def _no_pairs(pictures: Mapping[str, str], annotations: Mapping[str, str], source: Mapping[str, str]) -> Problem:
    first = [", ".join(f'"{sample}"' for sample in sorted(files)[:3]) for files in (pictures, annotations)]
    detail = (
        f"none of {count_of(len(annotations), 'annotation')} has a picture of its id below {source['images']}: "
        f"ids of annotations begin with {first[1]}, those of pictures with {first[0]}"
    )
    remedy = "correct dataset.source, or say with image_pattern and annotation_pattern how the paths correspond"
    for option, inner, outer in (("annotations", annotations, pictures), ("images", pictures, annotations)):
        if folder := _folder_too_many(inner, outer):
            remedy = f"set dataset.source.{option} to {source[option]}/{folder}"
    if source["format"] == "labelme" and any(map(_has_embedded_picture, sorted(annotations.values())[:1])):
        remedy += "; to use the pictures inside the files, set dataset.source.images to their folder"
    return Problem("", source["annotations"], "no_pairs", detail, remedy)


def _folder_too_many(inner: Iterable[str], outer: Collection[str]) -> str:
    """The folder without which the ids of `inner` would be among those of `outer`; "" where there is none."""
    for folder in PurePosixPath(min(inner)).parents[:-1]:
        if any(sample.removeprefix(f"{folder}/") in outer for sample in inner):
            return folder.as_posix()
    return ""


def _missing_picture(sample: str, annotation: str, detail: str, source_format: str) -> Problem:
    remedy = "put the picture there under the annotation's name, or take the annotation away"
    if source_format == "labelme":
        try:
            name = labelme.picture(labelme.load(annotation))
        except AnnotationError as error:
            finding = error.findings[0]
            return Problem(sample, annotation, finding.kind, f"{finding.detail}; and {detail}", finding.remedy)
        detail += f', and the file names "{name}"' if name else ""
        remedy += "; to use pictures inside the files, give their folder as dataset.source.images too"
    return Problem(sample, annotation, "missing_picture", detail, remedy)

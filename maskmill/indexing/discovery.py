"""Find the files of a data set's folders by sample id."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from maskmill.dag.pictures import is_dicom, strip_suffix
from maskmill.dag.sources import list_files
from maskmill.labels.problems import Problem

LONGEST_NAME = 200
"""Greatest number of bytes of a file or folder name in an id; what is made of it gets a longer name."""


def id_finder(pattern: str | None, fields: list[str] | None, suffixes: tuple[str, ...]) -> Callable[[str], str | None]:
    """Gives the sample id of a file's path below its root, None where the file is not looked for."""
    if pattern is None:
        return lambda file: composed(strip_suffix(file)) if file.lower().endswith(suffixes) else None
    expression = pattern_expression(pattern)

    def find(file: str) -> str | None:
        match = expression.fullmatch(file)
        return composed("/".join(match[field] for field in fields)) if match else None

    return find


def composed(sample: str) -> str:
    """An id with Unicode composed (NFC), as the same name from another file system is."""
    return unicodedata.normalize("NFC", sample)


def wanted_files(pattern: str | None, suffixes: tuple[str, ...]) -> str:
    """Which files `id_finder` gives an id, in words."""
    return f'match "{pattern}"' if pattern else f"end in {', '.join(suffixes)}"


def pattern_expression(pattern: str) -> re.Pattern:
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


def find_files(
    root: str, find: Callable[[str], str | None], wanted: str, what: str, unique: bool = True
) -> tuple[dict[str, str], list[Problem]]:
    """Paths by sample id of the files below `root`; the problems are a missing or empty folder and ids that meet.

    find gives a file's id, None of files that are not looked for; wanted says in words which are.
    """
    if not Path(root).is_dir():
        return {}, [Problem("", root, "missing_folder", f"there is no such folder of {what}", "correct dataset.source")]
    files = list_files(root)
    by_id = defaultdict(list)
    for file in files:
        path = PurePosixPath(file)
        if what == "pictures" and is_dicom(Path(root, file)):
            file = path.parent.as_posix()
            sample = "." if file == "." else composed(file)
        else:
            sample = find(file)
        if sample is not None and (Path(root) / file).as_posix() not in by_id[sample]:
            by_id[sample].append((Path(root) / file).as_posix())
    by_id = {sample: paths for sample, paths in by_id.items() if paths}
    if not by_id:
        return {}, [_empty_folder(root, wanted, what, files)]
    if not unique:
        return {path: path for paths in by_id.values() for path in paths}, []
    problems = _duplicates(by_id, what) + _odd_names(by_id)
    return {sample: paths[0] for sample, paths in by_id.items()}, problems


def _empty_folder(root: str, wanted: str, what: str, files: list[str]) -> Problem:
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


def _odd_names(by_id: Mapping[str, list[str]]) -> list[Problem]:
    """Names that files made of them could not have, or that no table can hold."""
    problems = []
    for sample, paths in by_id.items():
        longest = max(len(part.encode("utf-8", "surrogateescape")) for part in sample.split("/"))
        if longest > LONGEST_NAME:
            detail = f"a name of {longest} bytes; files made of it need up to {LONGEST_NAME}"
        elif not sample.isprintable():
            detail = f"a name with characters that cannot be printed: {sample!r}"
        elif "#page=" in sample:
            detail = 'a name that holds "#page=", which stands for a slice of a stack'
        else:
            continue
        safe = sample.encode("utf-8", "backslashreplace").decode()
        path = paths[0].encode("utf-8", "backslashreplace").decode()
        problems.append(Problem(safe, path, "odd_name", detail, "rename the file and its annotation"))
    return problems

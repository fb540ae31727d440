"""What is wrong with the user's files: collected by every stage, judged in one place.

The stages that look at files write what they find to a table and go on; `check_inputs` then stops the run with the
whole list, or leaves the rejected samples out.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.labels.palettes import palette_mismatches
from maskmill.wording import count_of

COLUMNS = ("id", "file", "kind", "detail", "remedy")

_CLASSES = "dataset.classes"
"""In the place of a file: the problem is one of the option."""

_FIRST = "mend the other problems first; if it stays, "

BROKEN_IMAGE_REMEDY = "replace the picture, or take it and its annotation away"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Problem:
    """One row of problems.csv. id: the sample it rejects, "" where it concerns a folder."""

    id: str
    file: str
    kind: str
    detail: str
    remedy: str


def read_problems(path: str | os.PathLike) -> list[Problem]:
    """Read a problems.csv."""
    return [Problem(**row) for row in read_table(path)]


def write_problems(path: str | os.PathLike, problems: Iterable[Problem]) -> None:
    """Write a problems.csv, sorted, each problem once."""
    write_table(path, map(asdict, sorted(set(problems))), COLUMNS)


def collect_problems(index_problems: str, label_dirs: Sequence[str], classes: Sequence[str], output: str) -> None:
    """Merge the problems found while indexing and while drawing the labels of every shard into one sorted table.

    A class of which no label image has a pixel is a problem of the whole data set, and so is that none has a pixel of
    any class; where samples are rejected, which may hold it, that is said. A mask whose palette contradicts those of
    most others is a problem too. classes: the names, in order.
    """
    problems = read_problems(index_problems)
    pixels, drawn, palettes = [0] * len(classes), set(), []
    for folder in label_dirs:
        problems += read_problems(Path(folder) / "problems.csv")
        palettes += read_table(Path(folder) / "palettes.csv")
        for row in read_table(Path(folder) / "statistics.csv"):
            drawn.add(row["id"])
            if 0 < int(row["class"]) <= len(classes):
                pixels[int(row["class"]) - 1] += int(row["pixels"])
    for row, detail, remedy in palette_mismatches(palettes):
        problems.append(Problem(row["id"], row["file"], "palette_mismatch", detail, remedy))
    left = len(drawn) if any(problem.id for problem in problems) else None
    if any(pixels):
        problems += [_unused_class(name, left) for name, count in zip(classes, pixels, strict=True) if not count]
    elif drawn:
        problems.append(_no_labels(len(drawn), left))
    write_problems(output, problems)


def _no_labels(drawn: int, left: int | None) -> Problem:
    """drawn: number of the label images; left: as of `_unused_class`."""
    remedy = (
        "see that the annotations hold shapes or values, belong to these pictures (a map layer has to lie over them), "
        "and that dataset.classes names what was annotated"
    )
    if left is None:
        return Problem("", _CLASSES, "no_labels", f"no class is on any of {count_of(drawn, 'label image')}", remedy)
    detail = f"no class is on any of the {count_of(left, 'sample')} without a problem"
    return Problem("", _CLASSES, "no_labels", detail, f"{_FIRST}{remedy}")


def _unused_class(name: str, left: int | None) -> Problem:
    """left: number of the samples without a problem, None where that is all."""
    remedy = (
        "correct the name or colour in dataset.classes, or the annotations, or take the class out; with a list of "
        "colours or names in dataset.background, whatever is neither listed nor a class is named"
    )
    if left is None:
        return Problem("", _CLASSES, "unused_class", f'no label image has a pixel of "{name}"', remedy)
    detail = f'no pixel of "{name}" in the {count_of(left, "sample")} without a problem'
    return Problem("", _CLASSES, "unused_class", detail, f"{_FIRST}{remedy}")


def check_inputs(problems: str, manifest: str, on_problem: str, output: str) -> None:
    """Write the rows of `manifest` whose sample has no problem to `output` (samples.csv).

    on_problem: "fail" raises MaskmillError with all problems if there are any; "skip" logs them and goes on without the
    rejected samples. Raises MaskmillError if no sample is left.
    """
    found = read_problems(problems)
    samples = read_table(manifest)
    columns = list(samples[0]) if samples else []
    rejected = {problem.id for problem in found}
    accepted = [sample for sample in samples if sample["id"] not in rejected]
    if found and on_problem == "fail":
        skip = f", or set dataset.on_problem to skip to go on with the rest ({count_of(len(accepted), 'sample')})"
        helps = accepted and any(rejected)
        raise MaskmillError(
            f"{describe(found)}\n\nThe same list is in {problems}. Mend what is listed{skip if helps else ''}."
        )
    if not accepted:
        raise MaskmillError(f"no sample is left to work with.\n{describe(found)}\n\nThe same list is in {problems}.")
    if found:
        logger.warning("%s\n\ngoing on with %d of %s", describe(found), len(accepted), count_of(len(samples), "sample"))
    write_table(output, accepted, columns)


def describe(problems: Sequence[Problem]) -> str:
    """Text that lists every problem, grouped by kind and remedy; what is wrong with a file for many samples, once."""
    ordered = sorted(problems, key=lambda problem: (problem.kind, problem.remedy, problem))
    files = len({problem.file.partition("#page=")[0] for problem in problems if problem.file != _CLASSES})
    where = f" in {count_of(files, 'file')}" if files else ""
    lines = [f"{count_of(len(problems), 'problem')}{where}:"]
    for (kind, remedy), group in groupby(ordered, key=lambda problem: (problem.kind, problem.remedy)):
        members = list(group)
        lines.append(f"\n{kind} ({len(members)}): {remedy}")
        said = Counter(f"  {problem.file}: {problem.detail}" for problem in members)
        lines += [line + (f" (of {times} samples)" if times > 1 else "") for line, times in said.items()]
    return "\n".join(lines)

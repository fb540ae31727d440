"""Annotate a data set with labelme: a folder in which labelme finds the pictures, and the way back of what it saves.

labelme lists a folder's pictures by name and, given an output folder, saves the annotation of site/a.jpg as a.json
there, so that pictures of one name in two folders would take each other's place. Hence a workspace: a flat folder of
numbered links, in the order in which the pictures are worth looking at, with copies of their annotations beside them.
What labelme saves there is taken over at once into the data set's annotations. A proposal that nobody touched stays a
proposal.

Standard library alone, since this runs in labelme's own environment too. labelme is licensed under the GPL: it is run
as a program, never imported.
"""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from maskmill.annotations.flags import EMPTY, HOLE, PROPOSED
from maskmill.classes import BACKGROUND_LABEL, IGNORE_LABEL, Classes
from maskmill.dag.pictures import IMAGE_SUFFIXES
from maskmill.dag.sources import list_files
from maskmill.errors import MaskmillError
from maskmill.files import read_json, read_table, sha256_file, write_json, write_table
from maskmill.indexing.discovery import find_files, id_finder, wanted_files
from maskmill.labels.problems import describe
from maskmill.wording import count_of

SECONDS_BETWEEN_LOOKS = 1.0
"""How often what labelme saved is looked for."""

ORDER_FILE = "order.csv"
"""In a folder of proposals: their ids, the most uncertain first."""

_CONTENTS, _CONFIG = "contents.csv", "labelme.yaml"
_COLUMNS = ("name", "id", "image", "annotation", "saved", "digest")
_LONGEST = 50
_GREY, _MAGENTA = (128, 128, 128), (255, 0, 255)

INSTALL_REMEDY = (
    "let Snakemake make an environment for it with --use-conda, or install it beside the workflow with\n"
    "  python3 -m venv .labelme && .labelme/bin/pip install -r requirements/annotate.txt"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A picture to annotate, the labelme file that is or will be its annotation, and its sample id."""

    id: str
    image: str
    annotation: str


@dataclass
class _Row:
    """A picture in the workspace. name: without suffix. saved: time of the annotation there that was taken over last,
    in nanoseconds, 0 for none. digest: of the data set's annotation then, "" for none."""

    name: str
    id: str
    image: str
    annotation: str
    saved: int = 0
    digest: str = ""


def list_pictures(source: Mapping[str, str]) -> list[Picture]:
    """The single pictures of a data set, by id, each with its labelme file, which need not exist.

    source: the option `dataset.source`. Raises MaskmillError where the pictures' folder or names have problems, or
    where the data set has annotations in another format.
    """
    _check_format(source)
    image_pattern, annotation_pattern = source.get("image_pattern"), source.get("annotation_pattern")
    fields = list(dict.fromkeys(re.findall(r"\{(\w+)\}", image_pattern))) if image_pattern else None
    find = id_finder(image_pattern, fields, IMAGE_SUFFIXES)
    wanted = wanted_files(image_pattern, IMAGE_SUFFIXES)
    images, problems = find_files(source["images"], find, wanted, "pictures to annotate")
    if problems:
        raise MaskmillError(describe(problems))
    find = id_finder(annotation_pattern, fields, (".json",))
    present = {find(file): file for file in list_files(source["annotations"]) if file.lower().endswith(".json")}
    pictures = []
    for sample in sorted(images):
        name = present.get(sample) or f"{sample}.json"
        if annotation_pattern and sample not in present:
            name = annotation_pattern.format(**dict(zip(fields, sample.split("/"), strict=True)))
        pictures.append(Picture(sample, images[sample], (Path(source["annotations"]) / name).as_posix()))
    return pictures


def _check_format(source: Mapping[str, str]) -> None:
    wanted, root = source["format"], source["annotations"]
    pattern = source.get("annotation_pattern")
    if wanted == "auto" and source["images"] != root:
        found = list_files(root) if not Path(root).is_file() else [root]
        if found and not any(file.lower().endswith(".json") for file in found):
            wanted = f"something else: {root} holds {found[0]}"
    if wanted not in ("auto", "labelme") or Path(root).is_file() or (pattern and not pattern.lower().endswith(".json")):
        raise MaskmillError(
            f"labelme cannot edit annotations that are no labelme files (dataset.source.format is {wanted}). Convert "
            "them once with `maskmill import SOURCE --images FOLDER --to labelme -o FOLDER` and point dataset.source "
            "to the result"
        )


def annotate(
    source: Mapping[str, str],
    classes: Sequence[str] | Mapping[str, str],
    background: str | Sequence[str],
    proposals: str,
    workspace: str,
    programs: Iterable[str] = ("labelme",),
) -> None:
    """Open labelme on the pictures of a data set; when it is closed its annotations are in the data set's folder.

    The most uncertain of the `proposals` (a folder, which need not exist) come first, then pictures without annotation,
    then those with. classes and background: see `dataset.classes` and `dataset.background`. workspace: a folder of this
    function's own. programs: names or paths of labelme, the first that exists is run.

    Raises MaskmillError where labelme is not installed, has no display or fails, and where an annotation was changed
    both in labelme and elsewhere; both are kept then.
    """
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        raise MaskmillError(f"labelme is not installed: {INSTALL_REMEDY}")
    _check_display()
    pictures, space = list_pictures(source), Workspace(Path(workspace))
    space.collect()  # what a session that was killed left behind
    space.check()
    space.fill(pictures, Path(proposals))
    write_json(space.folder / _CONFIG, labelme_config(label_colours(classes, background)))
    logger.info("%s in %s; close labelme when you are done", count_of(len(pictures), "picture"), space.folder)
    status = _run(
        [program, str(space.folder), "--config", str(space.folder / _CONFIG), "--logger-level", "error"], space
    )
    space.check()
    logger.info("annotations were saved %s, to %s", count_of(space.taken, "time"), source["annotations"])
    for sample in sorted(space.proposed):
        logger.warning('%s was changed but its flag "%s" is still set: take it away when it is right', sample, PROPOSED)
    if status:
        raise MaskmillError(
            f"{program} ended with status {status}; what it said stands above. Everything it saved was taken over. "
            "Maskmill runs labelme 6; what it needs of a Linux desktop is in docs/annotating.md"
        )


def _check_display() -> None:
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))):
        raise MaskmillError(
            "there is no display to open labelme on (neither DISPLAY nor WAYLAND_DISPLAY is set). Run this on a "
            "desktop, over ssh -X, or copy pictures and annotations to a machine with a screen"
        )


def label_colours(
    classes: Sequence[str] | Mapping[str, str], background: str | Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """RGB (0–255) of every label that may be given, in the order of the list: classes, background, ignore."""
    known = Classes.from_config(classes)
    colours = dict(zip(known.names, known.shown_colours, strict=True))
    named = [] if background == "rest" else [label for label in background if not label.startswith("#")]
    return colours | dict.fromkeys([*named, BACKGROUND_LABEL], _GREY) | {IGNORE_LABEL: _MAGENTA}


def labelme_config(colours: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """labelme's configuration: these labels alone, in their order and colours; holes and empty pictures by flags."""
    return {
        "labels": list(colours),
        "sort_labels": False,
        "validate_label": "exact",
        "shape_color": "manual",
        "label_colors": {label: list(colour) for label, colour in colours.items()},
        "shape": {"point_size": 4},
        "label_flags": {".*": [HOLE]},
        "flags": [EMPTY],
        "auto_save": True,
        "with_image_data": False,
    }


def _run(command: Sequence[str], space: "Workspace") -> int:
    """Run labelme until it is closed and take over what it saves meanwhile; its exit status."""
    process = subprocess.Popen(command)
    try:
        while True:
            try:
                return process.wait(SECONDS_BETWEEN_LOOKS)
            except subprocess.TimeoutExpired:
                space.collect()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        space.collect()


def is_proposal(annotation: Mapping[str, Any]) -> bool:
    """Whether the content of a labelme file is a model's proposal that nobody has confirmed."""
    flags = annotation.get("flags")
    return isinstance(flags, dict) and flags.get(PROPOSED) is True


class Workspace:
    """The folder that labelme is opened on.

    taken: number of annotations taken over into the data set. proposed: ids of those that are still proposals.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken = 0
        self.proposed: set[str] = set()
        self._rows: list[_Row] = []
        self._faults: dict[str, str] = {}
        if (folder / _CONTENTS).exists():
            rows = read_table(folder / _CONTENTS)
            self._rows = [_Row(**{**row, "saved": int(row["saved"])}) for row in rows]

    def fill(self, pictures: Sequence[Picture], proposals: Path) -> None:
        """Put the pictures in, in their order, in place of those of an earlier session."""
        order = {}
        if (proposals / ORDER_FILE).exists():
            order = {row["id"]: rank for rank, row in enumerate(read_table(proposals / ORDER_FILE))}
        ranked, faults = [], []
        for picture in pictures:
            files = (Path(picture.annotation), proposals / f"{picture.id}.json")
            found = next((file for file in files if file.exists()), None)
            rank = (1, 0)
            try:
                if found:
                    rank = (0, order.get(picture.id, len(order))) if is_proposal(_load(found)) else (2, 0)
            except MaskmillError as error:
                faults.append(str(error))
            ranked.append((rank, picture.id, picture, found))
        if faults:
            raise MaskmillError("\n".join(faults))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._rows = []
        for number, (_, _, picture, found) in enumerate(sorted(ranked, key=lambda one: one[:2]), 1):
            self._rows.append(self._put(number, picture, found))
        self._write()

    def _put(self, number: int, picture: Picture, found: Path | None) -> _Row:
        name = f"{number:05}_{picture.id.replace('/', '_')[-_LONGEST:]}"
        row = _Row(name, picture.id, picture.image, picture.annotation)
        link = self.folder / (name + Path(picture.image).suffix)
        link.symlink_to(Path(picture.image).resolve())
        if found:
            content = _load(found) | {"imagePath": link.name}
            copy = self.folder / f"{name}.json"
            copy.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            row.saved = copy.stat().st_mtime_ns
        row.digest = _digest(picture.annotation)
        return row

    def collect(self) -> None:
        """Take over what labelme saved since the last time into the data set's annotations.

        One that was changed there too since is left alone, and so is a file that cannot be read (labelme may be in the
        middle of writing it); `check` names them.
        """
        self._faults, taken = {}, 0
        for row in self._rows:
            copy = self.folder / f"{row.name}.json"
            saved = copy.stat().st_mtime_ns if copy.exists() else row.saved
            if saved == row.saved:
                continue
            if _digest(row.annotation) != row.digest:
                self._faults[str(copy)] = f"{row.annotation} was changed by something else meanwhile"
                continue
            try:
                content = json.loads(copy.read_text(encoding="utf-8"))
            except ValueError as error:
                self._faults[str(copy)] = f"is no JSON: {error}"
                continue
            path = PurePath(os.path.relpath(row.image, Path(row.annotation).parent)).as_posix()
            write_json(row.annotation, content | {"imagePath": path})
            (self.proposed.add if is_proposal(content) else self.proposed.discard)(row.id)
            row.saved, row.digest, taken = saved, _digest(row.annotation), taken + 1
        if taken:
            self.taken += taken
            self._write()

    def check(self) -> None:
        """Raise MaskmillError that lists every annotation in the workspace that could not be taken over."""
        if self._faults:
            listed = "\n".join(f"  {copy}: {fault}" for copy, fault in self._faults.items())
            raise MaskmillError(
                f"{count_of(len(self._faults), 'annotation')} not taken over, though saved in labelme:\n{listed}\n"
                "Copy what you want to keep of them into the data set's annotations, delete them here, and start again."
            )
        for row in self._rows:
            if row.saved and not (self.folder / f"{row.name}.json").exists():
                logger.warning("%s: deleted in labelme, but kept: delete it yourself if you mean it", row.annotation)

    def _write(self) -> None:
        write_table(self.folder / _CONTENTS, map(asdict, self._rows), _COLUMNS)


def _load(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise MaskmillError(f"{file} is no labelme file: {error}; mend it or move it away") from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise MaskmillError(f"{file} is no labelme file; move it away")
    return content


def _digest(path: str) -> str:
    return sha256_file(path) if Path(path).exists() else ""

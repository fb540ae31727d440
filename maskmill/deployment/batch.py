"""Batch segmentation: the masks of a shard of pictures, gone on with after a stop, and all shards' in one folder."""

import errno
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskmill.deployment.bundle import Bundle
from maskmill.deployment.finished import FinishedPictures, picture_stamp
from maskmill.deployment.segmentation import (
    UNCERTAINTY_COLUMNS,
    Extras,
    describe_entropy,
    mask_file,
    reason_of,
    segment_picture,
    write_uncertainty,
)
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, link_file, read_table, sha256_file, sha256_json, write_table
from maskmill.inference.entropy import EntropySums
from maskmill.logs import progress

logger = logging.getLogger(__name__)

MASK_COLUMNS = ("picture", "mask")
FAILED_COLUMNS = ("file", "reason", "remedy")
REMEDY = "replace the file, or take it away"


def segment_shard(
    bundle: Bundle, pictures: Mapping[str, str], output: Path, state: Path, code: str, threads: int
) -> None:
    """Segment pictures (name → file) as `segment_pictures` does, those aside that have been finished before.

    state: folder with what is finished, see `FinishedPictures`; it counts for the same bundle and the same `code`, a
    digest. Writes to the folder `output`, which appears when all is done: masks/, masks.csv (`picture`, and its `mask`
    below masks/), and failed.csv with the pictures that have none (`file`, `reason`, `remedy`), and
    uncertainty.csv (`UNCERTAINTY_COLUMNS`).
    """
    files = {name: Path(file) for name, file in pictures.items()}
    key = sha256_json([sha256_file(bundle.folder / "bundle.json"), code])
    with FinishedPictures(state, key, files) as finished:
        if len(finished):
            logger.info("%d of %d pictures have their masks already", len(finished), len(files))
        failed = _finish(bundle, files, finished, threads)
        with atomic_path(output) as aside:
            (aside / "masks").mkdir(parents=True)
            made = {name: finished.files(name) for name in files if name in finished}
            for file in (file for beside in made.values() for file in beside):
                link_file(finished.masks / file, aside / "masks" / file)
            rows = [{"picture": pictures[name], "mask": beside[0]} for name, beside in made.items()]
            write_table(aside / "masks.csv", rows, MASK_COLUMNS)
            unsure = [{**row, **finished.noted(name)} for row, name in zip(rows, made, strict=True)]
            write_table(aside / "uncertainty.csv", unsure, UNCERTAINTY_COLUMNS)
            write_table(aside / "failed.csv", failed, FAILED_COLUMNS)


def _finish(
    bundle: Bundle, files: Mapping[str, Path], finished: FinishedPictures, threads: int
) -> list[dict[str, str]]:
    """Segment what is not finished; rows of the pictures that cannot be."""
    pending = {name: file for name, file in files.items() if name not in finished}
    if not pending:
        return []
    runtime, failed = bundle.open(threads), []
    for name, file in progress(pending.items(), "pictures"):
        try:
            if not file.exists():
                raise MaskmillError("there is no such file any more; start again to go on without it")
            if not (file.is_file() or file.is_dir()):  # reading a named pipe would wait for ever
                raise MaskmillError("it is neither a file nor a folder; take it away")
            stamp, target = picture_stamp(file), mask_file(finished.masks, name, file)
            sums = EntropySums()
            segment_picture(bundle.recipe, runtime, file, target, {}, Extras(), sums)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # others, as of a full disk, are of no single picture
                raise
            failed.append(
                {"file": file.as_posix(), "reason": "its name is too long", "remedy": "give it a shorter one"}
            )
        except MaskmillError as error:
            reason, _, remedy = reason_of(error).partition("; ")
            failed.append({"file": file.as_posix(), "reason": reason, "remedy": remedy or REMEDY})
            logger.warning("%s: %s", file, reason)
        else:
            written = [target, target.with_suffix(".instances.png")]
            written = [path for path in written if path.exists()]
            finished.add(name, stamp, written, describe_entropy(sums.result))
    return failed


def collect_masks(shards: Sequence[Path], masks: Path, table: Path, failed: Path, uncertainty: Path) -> None:
    """Bring the masks of all shards into the folder `masks` as second names of their files, and merge the tables.

    uncertainty: see `write_uncertainty`.
    """
    with atomic_path(masks) as aside:
        aside.mkdir(parents=True)
        for folder in (shard / "masks" for shard in shards):
            for path in folder.rglob("*"):
                if path.is_file():
                    link_file(path, aside / path.relative_to(folder))
    made, missing, unsure = (
        [row for shard in shards for row in read_table(shard / name)]
        for name in ("masks.csv", "failed.csv", "uncertainty.csv")
    )
    write_table(table, sorted(made, key=lambda row: row["mask"]), MASK_COLUMNS)
    write_table(failed, sorted(missing, key=lambda row: row["file"]), FAILED_COLUMNS)
    write_uncertainty(uncertainty, [row | {"confidence": float(row["confidence"])} for row in unsure])
    if missing:
        what = (
            "1 picture has no mask; it is" if len(missing) == 1 else f"{len(missing)} pictures have no mask; they are"
        )
        logger.warning("%s listed in %s", what, failed)

"""`maskmill track`: send to MLflow what trainings have kept for it."""

import argparse
import logging
from pathlib import Path

from filelock import Timeout

from maskmill.errors import MaskmillError

logger = logging.getLogger(__name__)


def add_track_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `track` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("track", help="send trainings to MLflow that it missed", description=_run.__doc__)
    store = "MLflow store to send to, whatever others have (default: MLFLOW_TRACKING_URI, or that of the training)"
    place = "results/NAME/runs/EXPERIMENT/MEMBER, or a folder above it for all trainings below"
    command.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help=place)
    command.add_argument("--uri", help=store)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Send to MLflow what it lacks of trainings that have ended or were killed. Nothing is sent twice."""
    from maskmill.tracking.record import find_records

    failed = []
    for place in arguments.folders:
        folders = find_records(place)
        if not folders:
            failed.append((place, "there is no record of a training, tracking/*/record.json, in it"))
        for folder in folders:
            try:
                _send(folder, arguments.uri)
            except MaskmillError as error:
                failed.append((folder, str(error)))
    if failed:
        reasons = "\n".join(f"  - {place}: {reason}" for place, reason in failed)
        raise MaskmillError(f"not everything was sent:\n{reasons}")
    return 0


def _send(folder: Path, uri: str | None) -> None:
    """Send one record, unless its store has all of it; raises MaskmillError saying what prevents it."""
    from maskmill.tracking.record import Record, records_lock
    from maskmill.tracking.store import explain, public_uri, store_uri
    from maskmill.tracking.tracker import close_record

    try:
        with records_lock(folder).acquire(timeout=0):
            record = Record.read(folder)
            store = uri or store_uri(record.uri)
            if uri or not record.complete or public_uri(store) != record.uri:
                close_record(record, store)
    except Timeout:
        logger.info("%s is in training, which sends by itself", folder.parents[1])
    except MaskmillError:
        raise
    except ModuleNotFoundError as error:
        raise MaskmillError(f"it takes MLflow ({error}); install requirements/run.txt") from error
    except Exception as error:
        raise MaskmillError(f"MLflow at {public_uri(store)} fails: {explain(error, store)}") from error
    else:
        epochs = len(record.epochs)
        logger.info("MLflow at %s has run %s, %s: %d epochs", record.uri, folder.name, record.name, epochs)

"""What the training loop reports to, whether MLflow is there or not."""

import logging
import os
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import Timeout

from maskmill.errors import MaskmillError
from maskmill.tracking.delivery import Delivery
from maskmill.tracking.environment import describe_environment
from maskmill.tracking.events import Events
from maskmill.tracking.record import FOLDER, Record, find_records, open_record, records_lock
from maskmill.tracking.store import explain, public_uri, store_uri

logger = logging.getLogger(__name__)

PAUSE = 20
"""A store that failed is left alone for so many times as long as it took to fail: it costs 5 % of the time at most."""

LAST_ATTEMPTS = (0, 2)
"""Seconds to wait before each attempt to send the end of a training."""


class Tracker:
    """Reports one training: `with Tracker(…) as tracker:`; leaving it by an error marks the MLflow run as failed.

    uri, experiment, name: the MLflow store, experiment and name of the run. mlflow_run: id of the run to go on with.
    tags: of the run, among them run_id and data_digest. params: of the run; may be nested. tensorboard: folder of the
    events; `tracking` beside it holds the records. first_epoch: events of this and later epochs that are there already,
    from a training that was killed, are superseded. source, samples: where the data came from and how many samples each
    split has.

    Everything goes to a record on disk and from there to MLflow. A store that fails does not stop the training: it is
    warned of, and gets what it missed when it answers again, be it by `maskmill track` after the training.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        name: str,
        mlflow_run: str | None,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        tensorboard: str | os.PathLike,
        first_epoch: int,
        source: str = "",
        samples: Mapping[str, int] | None = None,
    ) -> None:
        self._uri = store_uri(uri)
        self._tensorboard = Path(tensorboard)
        self._folder = self._tensorboard.with_name(FOLDER) / tags["run_id"]
        self._first_epoch = first_epoch
        self._description = {
            "uri": public_uri(self._uri),
            "experiment": experiment,
            "name": name,
            "mlflow_run": mlflow_run,
            "tags": dict(tags),
            "params": _flatten(params),
            "source": source,
            "samples": dict(samples or {}),
        }
        self._lock = records_lock(self._folder)
        self._record: Record
        self._events: Events
        self._delivery: Delivery | None = None
        self._away = False
        self._next_attempt = 0.0

    @property
    def mlflow_run(self) -> str | None:
        """Id of the MLflow run; None where the store has not answered yet."""
        return self._record.mlflow_run

    def __enter__(self) -> "Tracker":
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting: another process sends %s", self._folder.parent)
            self._lock.acquire()
        description = self._description | {"environment": describe_environment()}
        self._record = open_record(self._folder, self._first_epoch, **description)
        self._events = Events(self._tensorboard, len(self._record.epochs) + 1)
        if self._report():
            self._report_superseded()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._events.close()
        if kind:
            self._record.end("FAILED" if issubclass(kind, Exception) else "KILLED")
            self._record.save()
            self._report(waiting=False)
            self._say_what_is_missing()
        self._lock.release()

    def log_epochs(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Report the last epoch of `history`, and those before it that were not reported yet.

        history: one mapping an epoch: "epoch", from 1, "loss" and other numbers, None where one is not defined.
        """
        self._add_epochs(history)
        self._report()

    def log_pictures(self, rows: np.ndarray, epoch: int) -> None:
        """Report a picture, RGB uint8 (H, W, 3); of the many of a long training a few are kept, and the last one."""
        if self._record.add_picture(rows, epoch):
            self._events.add_picture(rows, epoch)
            self._record.save()
            self._report()

    def finish(self, history: Sequence[Mapping[str, Any]], files: Sequence[str | os.PathLike]) -> None:
        """Report the outputs of a finished training, files in the run's folder, and close the MLflow run."""
        self._add_epochs(history)
        self._record.end("FINISHED", files)
        self._record.save()
        for seconds in LAST_ATTEMPTS:
            time.sleep(seconds)
            if self._report(waiting=False):
                logger.info("MLflow has run %s, %s: %s", self._folder.name, self._record.name, self._delivery.place)
                return
        self._say_what_is_missing()

    def _add_epochs(self, history: Sequence[Mapping[str, Any]]) -> None:
        for entry in self._record.add_epochs(history):
            self._events.add_scalars(entry["metrics"], entry["epoch"])
        self._events.flush()  # before the record, which says what is in the events
        self._record.save()

    def _report(self, waiting: bool = True) -> bool:
        """Send what MLflow lacks, unless (`waiting`) it failed a short while ago; returns whether it has all."""
        if waiting and time.monotonic() < self._next_attempt:
            return False
        return self._attempt(self._send)

    def _send(self) -> None:
        if self._delivery is None:
            self._delivery = Delivery(self._record, self._uri)
        self._delivery.send()

    def _attempt(self, action: Callable[[], None]) -> bool:
        started = time.monotonic()
        try:
            action()
        except Exception as error:  # whatever ails the store, the training matters more
            self._delivery = None
            self._next_attempt = time.monotonic() + PAUSE * (time.monotonic() - started)
            if not self._away:
                logger.warning(
                    "MLflow at %s fails (%s); training goes on and keeps in %s what it misses",
                    self._record.uri, explain(error, self._uri), self._folder,
                )  # fmt: skip
            self._away = True
            return False
        if self._away:
            logger.info("MLflow at %s answers again and has all %d epochs", self._record.uri, len(self._record.epochs))
        self._away = False
        return True

    def _report_superseded(self) -> None:
        """Send the records of trainings whose place this one takes, and remove those that MLflow has."""
        for folder in find_records(self._folder.parents[1]):
            if folder == self._folder:
                continue
            with suppress(MaskmillError):
                record = Record.read(folder)
                if record.complete or self._attempt(lambda record=record: close_record(record, self._uri)):
                    shutil.rmtree(folder)

    def _say_what_is_missing(self) -> None:
        if not self._record.complete:
            logger.warning(
                "MLflow at %s lacks parts of run %s, which are kept in %s; when it answers again, send them with: "
                "maskmill track %s",
                self._record.uri, self._folder.name, self._folder, shlex.quote(str(self._record.run_folder)),
            )  # fmt: skip


def close_record(record: Record, uri: str) -> None:
    """Send the record of a training that no longer runs to the store at `uri`.

    One that never came to its end was killed. The caller holds the lock. Raises whatever ails the store.
    """
    if record.status == "RUNNING":
        record.end("KILLED")
    record.uri = public_uri(uri)
    Delivery(record, uri).send()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested options as "model.width": "32"; lists as "64, 96", as MLflow would spread brackets over several lines."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return flat

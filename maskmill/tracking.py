"""What a training reports: parameters, curves and files to MLflow, curves and pictures to TensorBoard.

Both cost over a second to import, which is left to those who use them.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from maskmill.files import write_json

logger = logging.getLogger(__name__)

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server is asked for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
SQLITE = "sqlite:///"
METRICS = ("loss", "validation_loss", "validation_iou", "lr", "seconds")


def store_uri(uri: str) -> str:
    """The MLflow store to use: the environment variable MLFLOW_TRACKING_URI wins over the configured `uri`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri


def create_store(uri: str, marker: str | os.PathLike) -> None:
    """Create the tables of a local MLflow store, which two trainings must not do at once, and write `marker` (JSON).

    A server brings its own store; that it is away is only warned of, as trainings go on without it.
    """
    uri = store_uri(uri)
    try:
        _client(uri).search_experiments(max_results=1)
    except Exception as error:
        if uri.startswith(SQLITE):
            raise
        logger.warning("MLflow at %s does not answer (%s)", uri, error)
    write_json(marker, {"created": True})


def _client(uri: str) -> Any:
    """A client of an MLflow store."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    if uri.startswith(SQLITE):
        Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, uri: str, name: str) -> str:
    """Id of the MLflow experiment, created where there is none; its files lie beside a local store."""
    found = client.get_experiment_by_name(name)
    if found is None:
        local = uri.startswith(SQLITE)
        folder = Path(uri.removeprefix(SQLITE)).resolve().parent / "mlruns" if local else None
        try:
            return client.create_experiment(name, artifact_location=folder.as_uri() if folder else None)
        except Exception:  # another training may have created it in between
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


class Tracker:
    """Reports one training: `with Tracker(…) as tracker:`; leaving it by an error marks the MLflow run as failed.

    uri, experiment, name: the MLflow store, experiment and name of the run. mlflow_run: id of the run to go on with.
    tags, params: of the run; params may be nested. tensorboard: folder of the events. first_epoch: events of this and
    later epochs that are there already, from a training that was killed, are superseded.
    A store that fails does not stop the training: it is warned of once, and gets what it missed when it answers again.
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
    ) -> None:
        self.mlflow_run = mlflow_run
        self._uri = store_uri(uri)
        self._experiment = experiment
        self._name = name
        self._tags = dict(tags)
        self._params = _flatten(params)
        self._client: Any = None
        self._sent: set[int] = set()
        self._warned = False
        if first_epoch == 1:
            for events in Path(tensorboard).glob("events.out.tfevents.*"):
                events.unlink()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(tensorboard), purge_step=first_epoch)
        self._attempt(self._open)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind:
            self._attempt(lambda: self._terminate("FAILED"))

    def log_epochs(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Report the last epoch of `history`, and those before it that MLflow missed."""
        epoch = history[-1]
        for name in METRICS:
            if epoch[name] is not None:
                self._writer.add_scalar(name, epoch[name], epoch["epoch"])
        self._writer.flush()
        self._attempt(lambda: self._send(history))

    def log_pictures(self, rows: np.ndarray, epoch: int) -> None:
        """Report a picture, RGB uint8 (H, W, 3), to TensorBoard."""
        self._writer.add_image("validation", rows, epoch, dataformats="HWC")

    def finish(self, history: Sequence[Mapping[str, Any]], files: Sequence[str | os.PathLike]) -> None:
        """Report the outputs of a finished training and close the MLflow run."""

        def send_all() -> None:
            self._send(history)
            for path in files:
                self._client.log_artifact(self.mlflow_run, str(path))
            self._terminate("FINISHED")

        self._attempt(send_all)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever ails the store, the training matters more
            if not self._warned:
                logger.warning("MLflow at %s fails, training goes on without it: %s", self._uri, error)
            self._warned = True

    def _open(self) -> None:
        """Find the run of a training that goes on, or create one."""
        from mlflow.entities import Param, RunTag
        from mlflow.exceptions import MlflowException

        client = _client(self._uri)
        if self.mlflow_run:
            try:
                client.update_run(self.mlflow_run, status="RUNNING")
                self._sent = {metric.step for metric in client.get_metric_history(self.mlflow_run, METRICS[0])}
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self.mlflow_run = None
        if not self.mlflow_run:
            experiment = _experiment(client, self._uri, self._experiment)
            self.mlflow_run = client.create_run(experiment, run_name=self._name).info.run_id
        client.log_batch(
            self.mlflow_run,
            params=[Param(key, value) for key, value in self._params.items()],
            tags=[RunTag(key, value) for key, value in self._tags.items()],
        )
        self._client = client

    def _send(self, history: Sequence[Mapping[str, Any]]) -> None:
        if self._client is None:
            self._open()
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for row in history:
            if row["epoch"] not in self._sent:
                metrics = [Metric(name, row[name], now, row["epoch"]) for name in METRICS if row[name] is not None]
                self._client.log_batch(self.mlflow_run, metrics=metrics)
                self._sent.add(row["epoch"])

    def _terminate(self, status: str) -> None:
        if self._client is not None:
            self._client.set_terminated(self.mlflow_run, status)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested options as "model.width": "32"."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat

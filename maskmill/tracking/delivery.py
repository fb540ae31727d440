"""Bring a record to MLflow: what it has is not sent again, whoever sent it and however that ended."""

import getpass
import json
import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from maskmill.files import sha256_file, sha256_json
from maskmill.tracking.record import Record, now
from maskmill.tracking.store import SERVER, connect, find_experiment, patient_requests

logger = logging.getLogger(__name__)

T = TypeVar("T")
PROBE = "loss"
"""The metric that every epoch has: an epoch is sent whole or not at all, so that it stands for the others."""

SCORE = "validation_iou"
BEST = "best_validation_iou"
"""The best score up to an epoch: MLflow's table shows the last value of a metric, which of the score says little."""

LOCAL_PAGES = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves its pages."""

LONGEST_VALUE = 500
PARAMS_PER_REQUEST = 100
METRICS_PER_REQUEST = 1000
"""Limits of MLflow's servers."""


class Delivery:
    """The way of one record to the store at `uri`. Making one finds or creates the MLflow run; `send` does the rest.

    Both raise whatever ails the store, at once; what was sent up to then is sent.
    """

    def __init__(self, record: Record, uri: str) -> None:
        self._record = record
        self._client = connect(uri)
        self._experiment = find_experiment(self._client, uri, record.experiment)
        run = self._find_run() or self._create_run()
        record.mlflow_run = run.info.run_id
        record.save()
        self._describe(run)
        self._steps = {entry.step for entry in self._client.get_metric_history(record.mlflow_run, PROBE)}

    @property
    def place(self) -> str:
        """Where the MLflow run is to be seen; of a local store, by which command."""
        uri = self._record.uri
        page = f"#/experiments/{self._experiment}/runs/{self._record.mlflow_run}?workflowType=machine_learning"
        if uri.startswith(SERVER):
            return f"{uri}/{page}"
        return f"mlflow ui --backend-store-uri {shlex.quote(uri)}, then {LOCAL_PAGES}/{page}"

    def send(self) -> None:
        """Send the epochs and pictures that MLflow lacks; of a training that ended also its files and its end."""
        record = self._record
        missing = [entry for entry in with_best(record.epochs) if entry["epoch"] not in self._steps]
        self._send_epochs(missing)
        for epoch, path in record.pending_pictures().items():
            self._send_picture(epoch, path)
        if record.status != "RUNNING" and not record.complete:
            self._send_files()
            if record.results:
                self._send_once(f"results {sha256_json(record.results)}", self._send_results)
            self._client.set_terminated(record.mlflow_run, record.status, record.ended)
            record.complete = True
            record.save()

    def _find_run(self) -> Any:
        """The MLflow run of the record, by its id or by its tag; None where there is none or it was deleted."""
        from mlflow.exceptions import MlflowException

        record = self._record
        if record.mlflow_run:
            try:
                run = self._client.get_run(record.mlflow_run)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if run.info.lifecycle_stage == "active":
                    return run
        found = self._client.search_runs([self._experiment], f"tags.record = '{record.token}'", max_results=1)
        return found[0] if found else None

    def _create_run(self) -> Any:
        record = self._record
        record.sent, record.complete = [], False
        tags = {
            **record.tags,
            "record": record.token,
            "mlflow.source.name": "maskmill",
            "mlflow.source.type": "PROJECT",
        }
        with suppress(Exception):  # a container may have no name for its user
            tags["mlflow.user"] = getpass.getuser()
        return self._client.create_run(self._experiment, record.started, tags, record.name)

    def _describe(self, run: Any) -> None:
        """Send what describes the run where it lacks it, and say that it runs if it does."""
        from mlflow.entities import Param, RunTag

        record, client = self._record, self._client
        params = {_name(key): _shortened(value) for key, value in record.params.items()}
        missing = [Param(key, value) for key, value in params.items() if key not in run.data.params]
        for some in _batches(missing, PARAMS_PER_REQUEST):
            client.log_batch(record.mlflow_run, params=some, synchronous=True)
        tags = [RunTag(key, value) for key, value in record.tags.items() if run.data.tags.get(key) != value]
        if tags:
            client.log_batch(record.mlflow_run, tags=tags, synchronous=True)
        if run.info.status != "RUNNING" and record.status == "RUNNING":
            client.update_run(record.mlflow_run, status="RUNNING")
        self._send_once("data set", self._send_dataset)
        self._send_once("environment", self._send_environment)

    def _send_once(self, part: str, send: Any) -> None:
        if part not in self._record.sent:
            send()
            self._record.sent.append(part)
            self._record.save()

    def _send_dataset(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        record = self._record
        dataset = Dataset(
            name=record.experiment,
            digest=record.tags["data_digest"][:12],
            source_type="local",
            source=json.dumps({"uri": record.source}),
            profile=json.dumps(record.samples),
        )
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(record.mlflow_run, [DatasetInput(dataset, [context])])

    def _send_environment(self) -> None:
        run, environment = self._record.mlflow_run, self._record.environment
        lines = "".join(f"{line}\n" for line in environment["requirements"])
        self._client.log_text(run, lines, "environment/requirements.txt")
        self._client.log_dict(run, environment["hardware"], "environment/hardware.json")

    def _send_epochs(self, entries: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Metric

        if not entries:
            return
        longest = max(len(entry["metrics"]) for entry in entries)
        for some in _batches(entries, max(1, METRICS_PER_REQUEST // longest)):
            metrics = [
                Metric(_name(name), value, entry["time"], entry["epoch"])
                for entry in some
                for name, value in entry["metrics"].items()
            ]
            self._client.log_batch(self._record.mlflow_run, metrics=metrics, synchronous=True)
            self._steps |= {entry["epoch"] for entry in some}

    def _send_results(self) -> None:
        from mlflow.entities import Metric

        record = self._record
        metrics = [Metric(_name(name), value, now(), len(record.epochs)) for name, value in record.results.items()]
        for some in _batches(metrics, METRICS_PER_REQUEST):
            self._client.log_batch(record.mlflow_run, metrics=some, synchronous=True)

    def _send_picture(self, epoch: int, path: Any) -> None:
        from PIL import Image

        times = {entry["epoch"]: entry["time"] for entry in self._record.epochs}
        with Image.open(path) as picture:
            picture.load()
        self._client.log_image(
            self._record.mlflow_run,
            picture,
            key="validation",
            step=epoch,
            timestamp=times.get(epoch),
            synchronous=True,
        )
        path.unlink()

    def _send_files(self) -> None:
        """Send the outputs of the training, unless another training has written others in their places since."""
        record = self._record
        paths = {record.run_folder / name: digest for name, digest in record.files.items()}
        for path, digest in paths.items():
            if not path.exists() or sha256_file(path) != digest:
                logger.warning("%s is no longer that of run %s and is not sent", path, record.folder.name)
                continue
            self._send_once(f"{path.name} {digest}", lambda path=path: self._send_file(path))
        if record.validation_picture.exists():
            self._send_file(record.validation_picture)

    def _send_file(self, path: Any) -> None:
        with patient_requests():
            self._client.log_artifact(self._record.mlflow_run, str(path))


def with_best(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The epochs of a record with the best score up to each of them among the metrics, once there is one."""
    best = None
    for entry in entries:
        score = entry["metrics"].get(SCORE)
        if score is not None and (best is None or score > best):
            best = score
        yield {**entry, "metrics": entry["metrics"] | ({} if best is None else {BEST: best})}


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def _name(key: str) -> str:
    """A name that MLflow takes: letters, digits, _ - . : / and spaces."""
    return re.sub(r"[^\w\-./: ]", "_", key)[:250]


def _shortened(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"

"""The MLflow store: a local SQLite file that is created once, or a server."""

import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from maskmill.errors import MaskmillError
from maskmill.files import write_json

logger = logging.getLogger(__name__)

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # by default a dead server is asked for minutes
    TIMEOUT: "10",
}
"""What MLflow reads from the environment, where it is not set there."""

UPLOAD_TIMEOUT = "120"
"""Seconds that a server may take to answer when it stores a file."""

SQLITE = "sqlite:///"
SERVER = ("http://", "https://")


def store_uri(uri: str) -> str:
    """The MLflow store to use: the environment variable MLFLOW_TRACKING_URI wins over the configured `uri`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri


def public_uri(uri: str) -> str:
    """A URI to show and to keep: without user and password, and with the whole path of a local file."""
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri.removeprefix(SQLITE)).absolute())
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def explain(error: Exception, uri: str) -> str:
    """What ails the store, in a line without user and password."""
    text = " ".join(str(error).split()).replace(uri, public_uri(uri)) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}…"


def create_store(uri: str, marker: str | os.PathLike) -> None:
    """Create the tables of a local MLflow store and write `marker` (JSON).

    A server brings its own store; that it is away is only warned of, as trainings go on without it. Raises
    MaskmillError for a store of another kind that cannot be used.
    """
    uri = store_uri(uri)
    try:
        connect(uri).search_experiments(max_results=1)
    except MaskmillError:
        raise
    except Exception as error:
        if not uri.startswith(SERVER):
            raise MaskmillError(
                f"MLflow cannot use {public_uri(uri)} ({explain(error, uri)}); give tracking.uri, or the environment "
                "variable MLFLOW_TRACKING_URI, as sqlite:///FILE or as the http:// address of a server"
            ) from error
        logger.warning(
            "MLflow at %s does not answer (%s); trainings go on without it and keep what it misses",
            public_uri(uri),
            explain(error, uri),
        )
    write_json(marker, {"created": True})


def connect(uri: str) -> Any:
    """An `mlflow.MlflowClient` of the store at `uri`, which is asked nothing yet unless it is a local file.

    A local file and its tables are created where there are none, by one process at a time. Raises MaskmillError for a
    database whose tables belong to another version of MLflow.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it says with a traceback what it raises
    if not uri.startswith(SQLITE):
        return mlflow.MlflowClient(tracking_uri=uri)
    file = Path(uri.removeprefix(SQLITE))
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        try:
            if not file.exists():
                _create_database(file)
            return mlflow.MlflowClient(tracking_uri=uri)
        except mlflow.exceptions.MlflowException as error:
            if "out-of-date database schema" not in str(error):
                raise
            raise MaskmillError(
                f"{file} was written by another version of MLflow than {mlflow.__version__}, which is installed. "
                f"If by a newer one: install it; if by an older one: copy the file, then run `mlflow db upgrade {uri}`"
            ) from error


def _create_database(file: Path) -> None:
    """Create a database and its tables, or nothing: one with some of them, as a kill leaves it, is of no more use.

    The caller holds the lock.
    """
    import mlflow

    for leftover in file.parent.glob(f".{glob.escape(file.name)}.*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder, file.name)
        mlflow.MlflowClient(tracking_uri=f"{SQLITE}{made}")
        os.replace(made, file)


def store_lock(uri: str, name: str) -> AbstractContextManager:
    """What lets one process at a time do something to a local store; a server knows no such thing."""
    return FileLock(f"{uri.removeprefix(SQLITE)}.{name}.lock") if uri.startswith(SQLITE) else nullcontext()


@contextmanager
def patient_requests() -> Iterator[None]:
    """Give a server the time to store a file, unless the environment says how long it may take."""
    if os.environ.get(TIMEOUT) != ENVIRONMENT[TIMEOUT]:
        yield
        return
    os.environ[TIMEOUT] = UPLOAD_TIMEOUT
    try:
        yield
    finally:
        os.environ[TIMEOUT] = ENVIRONMENT[TIMEOUT]


def find_experiment(client: Any, uri: str, name: str) -> str:
    """Id of the MLflow experiment, created where there is none; its files lie beside a local store.

    Raises MaskmillError for an experiment that was deleted, as MLflow gives its name to no other.
    """
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
    if found.lifecycle_stage != "active":
        raise MaskmillError(
            f'its experiment "{name}" was deleted; bring it back with `MLFLOW_TRACKING_URI={public_uri(uri)} mlflow '
            f"experiments restore --experiment-id {found.experiment_id}`"
        )
    return found.experiment_id

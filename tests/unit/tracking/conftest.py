"""A local MLflow store, and a server."""

import json

import pytest

from maskmill.tracking import create_store
from tests.unit.tracking.server import Server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database whose tables exist and that nobody writes to."""
    folder = tmp_path_factory.mktemp("mlflow")
    create_store(f"sqlite:///{folder}/sub/mlflow.db", folder / "marker.json")
    assert json.loads((folder / "marker.json").read_text()) == {"created": True}
    return folder / "sub/mlflow.db"


@pytest.fixture
def store(empty_store, tmp_path):
    """URI of a store of its own."""
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="module")
def process(empty_store, tmp_path_factory):
    """A server; the tests leave it running."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    server = Server(folder, folder / "mlflow.db")
    server.start()
    yield server
    server.kill()

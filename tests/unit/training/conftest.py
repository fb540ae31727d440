"""Data, a store and an undisturbed training, shared by the tests of a module."""

import pytest
import torch

from maskmill.tracking import create_store
from tests.unit.training.runs import SPLITS, train
from tests.unit.training_data import write_data


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Arguments of train_model for eight pictures of one class."""
    return write_data(tmp_path_factory.mktemp("data"), SPLITS)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """File of an MLflow store."""
    folder = tmp_path_factory.mktemp("store")
    create_store(f"sqlite:///{folder}/mlflow.db", folder / "marker")
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def reference(data, store, tmp_path_factory):
    """Folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    train(data, folder, store)
    return folder


@pytest.fixture(autouse=True)
def settings_of_torch(monkeypatch):
    """Leave torch as it was."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)

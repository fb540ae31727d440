"""A real `mlflow server`, over HTTP: it answers, it is killed, it hangs, it comes back."""

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from maskmill.cli import main
from maskmill.tracking import create_store
from maskmill.tracking import tracker as module
from tests.unit.tracking.tracking_data import (
    EPOCHS,
    LOSSES,
    artifacts,
    logged,
    picture,
    runs,
    scalars,
    tracker,
    train,
    write_outputs,
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture
def server(process, monkeypatch):
    """The server, asked again at once after it failed."""
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "LAST_ATTEMPTS", (0,))
    return process


def test_a_training_is_recorded_over_http_with_its_files(server, tmp_path):
    create_store(server.uri, tmp_path / "marker.json")
    tracking = train(server.uri, tmp_path / "run", experiment="http")
    client = MlflowClient(server.uri)
    run = client.get_run(tracking.mlflow_run)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "model.width": "8"}
    assert run.inputs.dataset_inputs[0].dataset.name == "http"
    assert logged(server.uri, tracking.mlflow_run) == LOSSES
    assert len(artifacts(server.uri, tracking.mlflow_run, "images")) == 6
    for name in ("model.safetensors", "config.yaml", "validation.png", "environment/requirements.txt"):
        assert Path(client.download_artifacts(tracking.mlflow_run, name, str(tmp_path))).stat().st_size


def test_a_server_killed_in_the_middle_gets_everything_when_it_is_back(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with tracker(server.uri, tmp_path / "run", experiment="killed") as tracking:
        tracking.log_epochs(EPOCHS[:1])
        server.kill()
        started = time.monotonic()
        tracking.log_epochs(EPOCHS[:2])
        tracking.log_pictures(picture(), 2)
        assert time.monotonic() - started < 5
        server.start()
        tracking.log_epochs(EPOCHS)
        tracking.finish(EPOCHS, write_outputs(tmp_path / "run"))
    (run,) = runs(server.uri, "killed")
    assert (run.info.run_id, run.info.status) == (tracking.mlflow_run, "FINISHED")
    assert logged(server.uri, run.info.run_id) == LOSSES
    assert len(artifacts(server.uri, run.info.run_id, "images")) == 2
    assert scalars(tmp_path / "run") == [(1, 1), (2, 0.5), (3, 0.3333)]
    assert [text for text in caplog.messages if "fails" in text]
    assert [text for text in caplog.messages if "answers again" in text]


def test_a_server_that_hangs_costs_a_timeout_and_gets_nothing_twice(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with tracker(server.uri, tmp_path / "run", experiment="hanging") as tracking:
        tracking.log_epochs(EPOCHS[:1])
        server.signal(signal.SIGSTOP)
        monkeypatch.setattr(module, "PAUSE", 20)
        try:
            started = time.monotonic()
            tracking.log_epochs(EPOCHS[:2])
            timeout = time.monotonic()
            tracking.log_epochs(EPOCHS)
            assert timeout - started < 5
            assert time.monotonic() - timeout < 0.5
        finally:
            server.signal(signal.SIGCONT)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        tracking.finish(EPOCHS, [])
    (run,) = runs(server.uri, "hanging")
    assert logged(server.uri, run.info.run_id) == LOSSES
    assert logged(server.uri, run.info.run_id, "validation_iou") == [(2, 0.75), (3, 0.5)]


REPORT = """
import os, signal, sys
from pathlib import Path
from tests.unit.tracking.tracking_data import EPOCHS, picture, tracker
with tracker(sys.argv[1], Path(sys.argv[2]), experiment="both") as tracking:
    tracking.log_epochs(EPOCHS[:1])
    tracking.log_epochs(EPOCHS[:2])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_server_and_training_killed_and_nothing_is_lost(server, tmp_path, caplog, capsys):
    run = tmp_path / "run"
    server.kill()
    done = subprocess.run([sys.executable, "-c", REPORT, server.uri, run], cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -signal.SIGKILL
    time.sleep(1)  # TensorBoard orders its files by the second, and then by process
    with tracker(server.uri, run, None, first_epoch=3, experiment="both") as tracking:
        tracking.log_epochs(EPOCHS)
        tracking.finish(EPOCHS, write_outputs(run))
    assert f"maskmill track {run}" in caplog.text
    server.start()
    handlers = logging.getLogger().handlers[:]
    try:
        assert main(["track", str(run)]) == 0
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.captureWarnings(False)
    (found,) = runs(server.uri, "both")
    assert found.info.status == "FINISHED"
    assert logged(server.uri, found.info.run_id) == LOSSES
    assert "model.safetensors" in artifacts(server.uri, found.info.run_id)
    assert scalars(run) == [(1, 1), (2, 0.5), (3, 0.3333)]

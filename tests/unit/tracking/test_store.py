"""The MLflow store."""

import subprocess
import sys

import pytest
import sqlalchemy

from maskmill.errors import MaskmillError
from maskmill.tracking import create_store
from maskmill.tracking.store import connect, public_uri
from tests.unit.full_disk import limited_files
from tests.unit.tracking.tracking_data import DEAD


def test_a_dead_server_does_not_stop_the_workflow(tmp_path, caplog):
    create_store(DEAD, tmp_path / "marker.json")
    assert f"MLflow at {DEAD} does not answer" in caplog.text
    assert (tmp_path / "marker.json").exists()


@pytest.mark.parametrize("uri", ["mlruns", "file:mlruns", "htp://server", "nonsense+driver://host/db"])
def test_what_is_no_store_is_refused_with_what_would_be_one(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MaskmillError, match=r"MLflow cannot use .*; give tracking.uri, .*sqlite:///FILE"):
        create_store(uri, tmp_path / "marker.json")
    assert not (tmp_path / "marker.json").exists()


def test_a_database_of_another_mlflow_is_named_with_the_remedy(store, tmp_path):
    with sqlalchemy.create_engine(store).begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'of the future'"))
    with pytest.raises(MaskmillError, match=r"another version of MLflow.*newer.*mlflow db upgrade sqlite:///"):
        create_store(store, tmp_path / "marker.json")
    assert not (tmp_path / "marker.json").exists()


@pytest.mark.slow
def test_processes_do_not_race_to_create_the_store(tmp_path):
    code = "import sys; from maskmill.tracking import create_store; create_store(*sys.argv[1:])"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/new/mlflow.db"]
    started = [
        subprocess.Popen([*command, tmp_path / f"{number}.json"], stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said


def test_what_is_shown_of_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert public_uri("sqlite:///results/mlflow.db") == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert public_uri("https://ann:secret@host:8080/path") == "https://host:8080/path"
    assert public_uri("http://host") == "http://host"


def test_a_store_of_which_a_part_could_be_written_is_made_anew(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for size in (0, 40_000, 200_000):
        with limited_files(size), pytest.raises(MaskmillError, match="MLflow cannot use"):
            create_store(uri, tmp_path / "marker.json")
        assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db.lock"]
    (tmp_path / ".mlflow.db.killed").mkdir()

    create_store(uri, tmp_path / "marker.json")

    assert {file.name for file in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock", "marker.json"}
    assert connect(uri).search_experiments()

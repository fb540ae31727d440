"""A project whose files lie in an object store that runs here; `make test-kubernetes` fetches what that takes."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from maskmill.demo import generate_demo
from tests.unit.tracking.server import Server
from tests.workflow.conftest import ROOT, TINY, make_project

PLUGINS = ROOT / ".kubernetes"
"""Where `make test-kubernetes` puts the plugins, the object store and their wheels."""


@dataclass(frozen=True)
class Cloud:
    """A project whose pictures are on a volume, and the environment in which its files are in the store."""

    folder: Path
    volume: Path
    environment: dict[str, str]
    address: str

    def snakemake(self, *arguments: str, check: bool = True, **variables: str) -> str:
        """Run Snakemake with the profile; its output. AssertionError with that where it fails and `check` is set."""
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/kubernetes"]
        command += ["--configfile", "tiny.yaml", "--default-storage-prefix", "s3://maskmill/here", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | variables, text=True, capture_output=True, check=False
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0 or not check, output
        return output

    def stored(self) -> dict[str, bytes]:
        """Contents of all objects of the project, by their path below its folder in the store."""
        sys.path.insert(0, str(PLUGINS))
        try:
            import boto3
        finally:
            sys.path.remove(str(PLUGINS))
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        bucket = boto3.resource("s3", endpoint_url=self.address, **keys).Bucket("maskmill")
        return {item.key.removeprefix("here/"): item.get()["Body"].read() for item in bucket.objects.all()}


@pytest.fixture
def cloud(tmp_path, mlflow_server):
    """A project of a few drawn scenes, tracked by git as Snakemake asks for, with an empty object store."""
    volume = tmp_path / "volume"
    generate_demo(volume / "pictures", groups=3, scenes_per_group=1, size=96, seed=0)
    source = {"format": "labelme", "root": str(volume / "pictures"), "images": "images", "annotations": "annotations"}
    config = {key: value for key, value in TINY.items() if key not in ("demo", "experiments")}
    config |= {"dataset": TINY["dataset"] | {"source": source}, "state": str(volume / "state")}
    config |= {"train": TINY["train"] | {"epochs": 40}, "tracking": {"uri": mlflow_server.uri}}
    project = make_project(tmp_path / "project", config)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "PYTHONPATH": f"{PLUGINS}:{project.folder}",
        "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": address,
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret",
    }
    command = [sys.executable, "-m", "moto.server", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as store:
        try:
            wait_for(port)
            yield Cloud(project.folder, volume, environment, address)
        finally:
            store.kill()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def mlflow_server(tmp_path_factory):
    """A real MLflow server with an empty store."""
    folder = tmp_path_factory.mktemp("mlflow")
    server = Server(folder, folder / "mlflow.db")
    server.start()
    yield server
    server.kill()


def wait_for(port: int) -> None:
    """Wait until something listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as other:
            if other.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens to port {port}")

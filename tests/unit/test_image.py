"""The image itself: built, run as docs/deploy.md says and asked, where an engine has the base image already."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from maskmill.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BASE = re.search(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)[1]
IMAGE = "maskmill-of-the-tests"
FEW_RIGHTS = re.search(r"`(--read-only [^`]+)`", (ROOT / "docs/deploy.md").read_text(encoding="utf-8"))[1].split()


class Container(NamedTuple):
    engine: str
    name: str
    address: str


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def find_engine() -> str:
    """Docker or Podman, whichever has the base image, so that none is fetched; skips where neither has it."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "image", "inspect", BASE], capture_output=True).returncode == 0:
            return name
    pytest.skip(f"neither Docker nor Podman has the image {BASE} here")


@pytest.fixture(scope="module")
def container(packed_bundle) -> Iterator[Container]:
    """The service of a bundle in a container of an image built for it, ready for pictures."""
    engine = find_engine()
    run(engine, "build", *(["--format=docker"] if engine == "podman" else []), f"--tag={IMAGE}", str(ROOT))
    mount = f"--volume={packed_bundle}:/bundle:ro"
    name = run(engine, "run", "--detach", *FEW_RIGHTS, "--publish=127.0.0.1::8000", mount, IMAGE)
    try:
        address = "http://" + run(engine, "port", name, "8000").splitlines()[0]
        wait_until_ready(address)
        yield Container(engine, name, address)
    finally:
        run(engine, "rm", "--force", name)
        run(engine, "rmi", IMAGE)


def wait_until_ready(address: str) -> None:
    for _ in range(300):
        try:
            if requests.get(f"{address}/ready", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    pytest.fail(f"no answer from {address}/ready within a minute")


def test_masks_are_those_of_predict(container, packed_bundle, tmp_path):
    picture = packed_bundle.parent / "a.png"
    assert main(["predict", str(packed_bundle), str(picture), "-o", str(tmp_path)]) == 0
    with open(picture, "rb") as file:
        answer = requests.post(f"{container.address}/predict", files={"image": file}, timeout=60)

    assert answer.status_code == 200
    assert answer.content == (tmp_path / "a.png").read_bytes()


def test_the_health_check_passes(container):
    config = json.loads(run(container.engine, "inspect", "--format={{json .Config.Healthcheck}}", container.name))

    assert config["Test"][0] == "CMD"
    run(container.engine, "exec", container.name, *config["Test"][1:])


def test_it_may_do_little(container):
    status = run(container.engine, "exec", container.name, "cat", "/proc/1/status")
    rights = dict(line.split(":\t", 1) for line in status.splitlines())

    assert rights["Uid"].split() == ["10001"] * 4
    assert int(rights["CapBnd"], 16) == 0
    assert rights["NoNewPrivs"] == "1"
    for place in ("/bundle", "/opt/maskmill", "/var/lib"):
        touch = [container.engine, "exec", container.name, "touch", f"{place}/file"]
        assert subprocess.run(touch, capture_output=True).returncode == 1, place


def test_it_stops_when_told_to(container):
    """Last, as it ends the container. PID 1 gets no signal that it does not handle: it would be killed, status 137."""
    run(container.engine, "stop", "--time=60", container.name)
    assert run(container.engine, "inspect", "--format={{.State.ExitCode}}", container.name) == "0"

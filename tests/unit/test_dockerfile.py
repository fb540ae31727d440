"""The Dockerfile asks for what there is: files, extras, options, an address that answers. No engine is needed."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from maskmill.cli import _parser
from maskmill.deployment.bundle import load_bundle
from maskmill.serving.api import create_app
from maskmill.serving.limits import Limits

ROOT = Path(__file__).parents[2]
STEPS = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
LISTED = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


def is_sent(file: str) -> bool:
    """Whether a file is part of what the image is built from: the last line of .dockerignore that fits it decides."""
    places = [Path(file), *Path(file).parents]
    sent = True
    for line in LISTED:
        pattern = line.removeprefix("!")
        anywhere = pattern.startswith("**/")
        if any(fnmatch(place.name, pattern[3:]) if anywhere else pattern in (str(place), "*") for place in places):
            sent = line[0] == "!"
    return sent


def test_every_source_is_there_and_is_sent_and_little_else():
    sources = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", STEPS, re.M)
        for name in line.split()[:-1]
    ]  # fmt: skip
    assert sources
    for name in sources:
        assert (ROOT / name).exists()
        assert is_sent(name)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    sent = {Path(name).parts[0] for name in tracked if is_sent(name)}
    assert sent <= {"maskmill", "pyproject.toml", "README.md", "LICENSE", "requirements"}
    assert not is_sent("requirements/dev.txt")
    assert not is_sent("results/roofs/report.html")
    assert not is_sent("maskmill/dag/__pycache__/pictures.cpython-311.pyc")


def test_what_is_installed_is_declared_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert '".[$EXTRAS]"' in STEPS
    extras = [name for names in re.findall(r"EXTRAS=([\w,]+)", STEPS) for name in names.split(",")]
    assert set(extras) == {"serve", "openvino"}
    assert "--constraint requirements/run.txt" in STEPS
    pins = (ROOT / "requirements/run.txt").read_text(encoding="utf-8").lower()
    chosen = [line for extra in set(extras) for line in project["optional-dependencies"][extra]]
    for line in project["dependencies"] + chosen:
        name = re.match(r"[\w-]+", line)[0]
        assert re.search(rf"^{name}==", pins, re.M), name
    assert "[" not in pins  # of which pip makes no constraints


def test_the_image_is_small_in_rights_and_of_a_fixed_base():
    bases = re.findall(r"^FROM (\S+)", STEPS, re.M)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11-slim-\w+", bases[0])
    user = re.findall(r"^USER (\S+)", STEPS, re.M)[-1]
    assert user.isdigit()
    assert int(user) > 0
    assert STEPS.index("\nUSER") < STEPS.index("\nENTRYPOINT")


def test_the_command_is_one_of_maskmills():
    command = re.findall(r'"([^"]+)"', re.search(r"^ENTRYPOINT (.*)$", STEPS, re.M)[1])
    parsed = _parser().parse_args(command[1:])

    assert command[0] == "maskmill"
    assert (parsed.bundle, parsed.host, parsed.port) == (Path("/bundle"), "0.0.0.0", 8000)


def test_what_is_asked_for_health_answers(packed_bundle, monkeypatch):
    code = re.search(r'HEALTHCHECK .*"-c", "([^"]+)"', STEPS)[1]
    address = re.search(r"http://127\.0\.0\.1:8000(/\w+)", code)[1]
    client = create_app(load_bundle(packed_bundle), Limits(), 1, "secret").test_client()

    assert client.get(address).status_code == 200
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(pytest.fail.Exception, match="asked"):
        exec(code, {})

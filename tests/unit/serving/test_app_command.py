"""`maskmill app`: what it hands to Streamlit, and what it refuses before."""

import importlib.util
import sys

import pytest
from streamlit.web import cli as streamlit_cli

from maskmill.cli import main
from maskmill.files import read_json, write_json


@pytest.fixture
def started(monkeypatch):
    """Arguments that Streamlit is started with, in turn."""
    found = []
    monkeypatch.setattr(streamlit_cli, "main", lambda arguments, standalone_mode: found.append(arguments))
    return found


def options_of(arguments):
    flags = arguments[2 : arguments.index("--")]
    return dict(zip(flags[::2], flags[1::2], strict=True))


def test_it_listens_on_this_machine_alone_and_reports_to_nobody(bundle, started, capsys):
    assert main(["app", str(bundle), "--threads", "2"]) == 0

    (arguments,) = started
    options = options_of(arguments)
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.port"] == "8501"
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.headless"] == "true"
    assert arguments[-2:] == [str(bundle), "2"]
    assert capsys.readouterr().err == ""


def test_streamlit_knows_every_option(bundle, started):
    from streamlit import config

    main(["app", str(bundle)])

    known = {f"--{name}" for name in config._config_options_template}
    assert set(options_of(started[0])) <= known


def test_another_address_is_warned_of(bundle, started, capsys, tmp_path):
    (tmp_path / "a.png").write_bytes((bundle.parent / "a.png").read_bytes())
    options = ("--host", "0.0.0.0", "--port", "9000", "--examples", str(tmp_path))

    assert main(["app", str(bundle), *options]) == 0

    assert options_of(started[0])["--server.address"] == "0.0.0.0"
    assert options_of(started[0])["--server.port"] == "9000"
    assert started[0][-1] == str(tmp_path)
    assert "asks for no password" in capsys.readouterr().err


def test_without_streamlit_it_says_what_to_install(bundle, started, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "streamlit" else find(name, *rest)
    )

    assert main(["app", str(bundle)]) == 1

    assert 'pip install "maskmill[app]"' in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize("what", ["folder", "volumes", "examples"])
def test_what_the_page_could_not_show_is_refused_before_it_starts(bundle, started, capsys, tmp_path, what):
    place, options, reason = tmp_path, [], "is not a bundle"
    if what == "volumes":
        for file in bundle.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        card = read_json(bundle / "bundle.json")
        card["recipe"]["dimensions"] = 3
        write_json(tmp_path / "bundle.json", card)
        reason = "works on whole volumes"
    elif what == "examples":
        place, options, reason = bundle, ["--examples", str(tmp_path)], "has no pictures"

    assert main(["app", str(place), *options]) == 1

    assert reason in capsys.readouterr().err
    assert not started


def test_the_command_line_starts_without_streamlit():
    import subprocess

    code = "import sys, maskmill.cli; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

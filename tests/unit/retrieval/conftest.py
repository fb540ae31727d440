"""What the tests of retrieval share: a server on this machine and a folder to retrieve to."""

import pytest

from tests.unit.retrieval.file_server import serve


@pytest.fixture
def site(monkeypatch):
    """An HTTP server on the loopback, reached without any proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    with serve() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """Where a data set goes; not there yet."""
    return tmp_path / "resources" / "set"

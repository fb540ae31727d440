"""What the tests of retrieval share: options, what became of them, and archives."""

import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.retrieval.dataset import retrieve_dataset
from maskmill.retrieval.download import Patience

QUICK = Patience(tries=2, pause=0.01, timeout=5)


def some_bytes(seed, size=1000):
    return np.random.default_rng(seed).bytes(size)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def section(**parts):
    """The section `retrieve` of a config with these parts."""
    texts = {"licence": "Free for all.", "citation": "Somebody, 2020.", "homepage": "https://example.org"}
    return {**texts, "files": [], "indexes": [], "manual": "", **parts}


def retrieve(folder, **parts):
    retrieve_dataset(folder, section(**parts), folder / "retrieved.txt", QUICK)


def refusal(folder, **parts):
    """The message of a retrieval that does not succeed."""
    with pytest.raises(MaskmillError) as caught:
        retrieve(folder, **parts)
    assert not (folder / "retrieved.txt").exists()
    return str(caught.value)


def inventory(folder):
    return {row["path"]: row for row in read_table(folder / "inventory.csv")}


def data_files(folder):
    own = {"inventory.csv", "LICENCE.txt", "CITATION.txt", "retrieved.txt"}
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(file for file in files if file not in own)


def zipped(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(files, links=(), mode="w:gz"):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, to in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            archive.addfile(entry)
    return target.getvalue()

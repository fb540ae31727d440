"""Whole data sets from a local server: index pages, mirrors, checksums, and what a person is told."""

import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.retrieval.dataset import expand_braces, retrieve_dataset
from maskmill.retrieval.download import Patience
from tests.unit.retrieval.file_server import Resource
from tests.unit.retrieval.retrieval_data import (
    QUICK,
    data_files,
    inventory,
    refusal,
    retrieve,
    section,
    sha256,
    some_bytes,
)

ROOT = Path(__file__).parents[3]


def test_files_inventory_and_papers(site, folder, caplog):
    caplog.set_level(logging.INFO)
    site.files |= {"/a.png": Resource(b"aaa"), "/b.png": Resource(b"bbbb")}

    retrieve(
        folder,
        files=[
            {"path": "pictures/b.png", "url": f"{site.base}/b.png"},
            {"path": "a.png", "url": f"{site.base}/a.png", "sha256": sha256(b"aaa"), "size": 3},
        ],
    )

    assert (folder / "inventory.csv").read_text() == (
        "path,size,sha256,url\n"
        f"a.png,3,{sha256(b'aaa')},{site.base}/a.png\n"
        f"pictures/b.png,4,{sha256(b'bbbb')},{site.base}/b.png\n"
    )
    assert data_files(folder) == ["a.png", "pictures/b.png"]
    assert (folder / "retrieved.txt").read_text() == "2 files, 7 bytes, listed in inventory.csv\n"
    assert (folder / "LICENCE.txt").read_text() == "Free for all.\n\nhttps://example.org\n"
    assert (folder / "CITATION.txt").read_text() == "Somebody, 2020.\n"
    assert caplog.messages[:2] == ["Licence: Free for all.", "Please cite: Somebody, 2020."]


def test_the_licence_is_there_before_anything_is_fetched(site, folder):
    assert "404" in refusal(folder, files=[{"path": "a", "url": f"{site.base}/a"}])

    assert (folder / "LICENCE.txt").exists()
    assert (folder / "CITATION.txt").exists()


def test_a_second_run_fetches_nothing_and_writes_the_same(site, folder):
    site.files |= {"/a": Resource(b"aaa"), "/list/": Resource(b'<a href="x1">x1</a>'), "/list/x1": Resource(b"x")}
    parts = {
        "files": [{"path": "a", "url": f"{site.base}/a"}],
        "indexes": [{"url": f"{site.base}/list/", "pattern": r"x\d", "folder": "x", "count": 1}],
    }
    retrieve(folder, **parts)
    first = {name: (folder / name).read_bytes() for name in ("inventory.csv", "retrieved.txt")}
    site.requests.clear()

    retrieve(folder, **parts)

    assert site.requests == []
    assert first == {name: (folder / name).read_bytes() for name in first}


def test_everything_that_fails_is_listed_at_once_and_the_rest_is_kept(site, folder):
    site.files |= {"/good": Resource(b"good"), "/broken": Resource(statuses=[500] * 9)}
    files = [{"path": f"x/{name}", "url": f"{site.base}/{name}"} for name in ("good", "gone", "broken")]

    message = refusal(folder, files=files)

    for part in (
        f"{folder} is not complete",
        f"- {folder}/x/gone\n      {site.base}/gone: the server answered 404 Not Found\n",
        f"{site.base}/broken: the server answered 500 Internal Server Error; given up after 2 tries",
        f"put the file there by hand: {folder}/x/gone",
    ):
        assert part in message
    assert "x/good" not in message
    assert data_files(folder) == ["x/good"]
    assert list(inventory(folder)) == ["x/good"]

    site.files |= {"/gone": Resource(b"back"), "/broken": Resource(b"mended")}
    site.requests.clear()
    retrieve(folder, files=files)
    assert sorted(request.path for request in site.requests) == ["/broken", "/gone"]
    assert data_files(folder) == ["x/broken", "x/gone", "x/good"]


def test_the_next_mirror_is_asked(site, folder, caplog):
    right = some_bytes(0)
    site.files |= {"/wrong": Resource(some_bytes(1)), "/page": Resource(b"<html>", content_type="text/html")}
    site.files["/right"] = Resource(right)
    urls = [f"{site.base}/{name}" for name in ("gone", "wrong", "page", "right")]

    retrieve(folder, files=[{"path": "a", "url": urls, "sha256": sha256(right)}])

    assert (folder / "a").read_bytes() == right
    assert inventory(folder)["a"]["url"] == urls[-1]

    message = refusal(folder, files=[{"path": "b", "url": urls[:3], "sha256": sha256(right)}])
    for url, reason in zip(urls, ("404", f"its SHA-256 is {sha256(some_bytes(1))}", "web page"), strict=False):
        assert f"{url}: " in message
        assert reason in message
    assert sha256(right) in message
    assert not (folder / "b").exists()
    assert not (folder / "b.part").exists()


def test_a_mirror_goes_on_where_another_was_cut_off(site, folder):
    data = some_bytes(0, 500_000)
    site.files |= {"/one": Resource(data, cuts=[200_000, 0, 0]), "/two": Resource(data)}

    retrieve(folder, files=[{"path": "a", "url": [f"{site.base}/one", f"{site.base}/two"], "sha256": sha256(data)}])

    assert (folder / "a").read_bytes() == data
    assert site.sent("/one") + site.sent("/two") == len(data)


def test_four_files_are_fetched_at_the_same_time(site, folder):
    go = threading.Event()
    site.files |= {f"/{i}": Resource(b"xy", cuts=[0], stall=go, etag='"a"') for i in range(4)}

    def release():
        deadline = time.monotonic() + 20
        while len(site.requests) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        go.set()

    thread = threading.Thread(target=release)
    thread.start()
    retrieve_dataset(
        folder,
        section(files=[{"path": str(i), "url": f"{site.base}/{i}"} for i in range(4)]),
        folder / "retrieved.txt",
        Patience(tries=2, pause=0, timeout=30),
    )
    thread.join()

    assert [request.path for request in site.requests[:4]].count("/0") == 1
    assert len({request.path for request in site.requests[:4]}) == 4


def test_a_killed_retrieval_goes_on_where_it_was(site, folder):
    stall = threading.Event()
    data = {f"/{i}": some_bytes(i, 400_000) for i in range(6)}
    site.files |= {path: Resource(content, etag='"a"') for path, content in data.items()}
    site.files["/5"] = Resource(data["/5"], etag='"a"', cuts=[300_000], stall=stall)
    options = section(files=[{"path": path[1:], "url": site.base + path} for path in data])
    code = f"""
from pathlib import Path
from maskmill.retrieval.dataset import retrieve_dataset
retrieve_dataset(Path({str(folder)!r}), {options!r}, Path({str(folder / "retrieved.txt")!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    part, listed = folder / "5.part", folder / "inventory.csv"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if part.exists() and part.stat().st_size >= 2**18 and listed.exists() and len(inventory(folder)) == 5:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stall.set()
    have = part.stat().st_size
    assert have >= 2**18
    site.requests.clear()

    retrieve_dataset(folder, options, folder / "retrieved.txt", QUICK)

    assert [request.path for request in site.requests] == ["/5"]
    assert site.sent("/5") == 400_000 - have
    assert data_files(folder) == ["0", "1", "2", "3", "4", "5"]
    assert all((folder / path[1:]).read_bytes() == content for path, content in data.items())
    assert {row["url"] for row in inventory(folder).values()} == {site.base + path for path in data}


def test_what_was_first_retrieved_may_not_silently_become_something_else(site, folder):
    site.files["/a"] = Resource(b"first")
    files = [{"path": "a", "url": f"{site.base}/a"}]
    retrieve(folder, files=files)
    (folder / "retrieved.txt").unlink()
    (folder / "a").unlink()
    site.files["/a"] = Resource(b"later")

    message = refusal(folder, files=files)

    assert f"its SHA-256 is {sha256(b'later')}, expected {sha256(b'first')}" in message
    assert f"take its line out of {folder / 'inventory.csv'}" in message
    assert data_files(folder) == []

    (folder / "inventory.csv").unlink()
    retrieve(folder, files=files)
    assert (folder / "a").read_bytes() == b"later"


def test_a_file_edited_on_disk_is_noticed(site, folder):
    site.files |= {"/a": Resource(b"aaa"), "/b": Resource(b"bbb")}
    files = [{"path": "a", "url": f"{site.base}/a"}, {"path": "b", "url": f"{site.base}/b", "sha256": sha256(b"bbb")}]
    retrieve(folder, files=files)
    (folder / "retrieved.txt").unlink()
    for name in ("a", "b"):
        (folder / name).write_bytes(b"edited")

    message = refusal(folder, files=files)

    edited = sha256(b"edited")
    assert f"its SHA-256 is {edited}, but was {sha256(b'aaa')} when it was first retrieved" in message
    assert f"its SHA-256 is {edited}, expected {sha256(b'bbb')}" in message
    assert message.count("put the right one there") == 2
    assert (folder / "a").read_bytes() == b"edited", "a person's file is not taken away"


def test_files_put_there_by_hand_are_taken(folder):
    files = [{"path": "a"}, {"path": "b", "sha256": sha256(b"bbb")}, {"path": "c", "size": 3}]
    message = refusal(folder, files=files, manual="Ask the owner.")
    assert message.count("there is no address to fetch it from") == 3
    assert all(f"put the file there by hand: {folder}/{name}" in message for name in "abc")
    assert message.endswith("How to get the data:\nAsk the owner.")

    for name, content in {"a": b"aaa", "b": b"bbb", "c": b"cc"}.items():
        (folder / name).write_bytes(content)
    assert "it has 2 bytes, expected 3" in refusal(folder, files=files)

    (folder / "c").write_bytes(b"ccc")
    retrieve(folder, files=files)
    assert [row["url"] for row in inventory(folder).values()] == ["", "", ""]


def test_rows_of_files_that_are_no_longer_wanted_go(site, folder):
    site.files |= {"/a": Resource(b"aaa"), "/b": Resource(b"bbb")}
    files = [{"path": name, "url": f"{site.base}/{name}"} for name in "ab"]
    retrieve(folder, files=files)

    retrieve(folder, files=files[:1])

    assert list(inventory(folder)) == ["a"]


@pytest.mark.parametrize(("path", "what"), [("../a", "outside"), ("/a", "outside"), ("b", "wanted twice")])
def test_every_file_has_a_place_of_its_own_below_the_folder(folder, path, what):
    message = refusal(folder, files=[{"path": "b"}, {"path": path}])

    assert what in message
    assert path in message


PAGE = """<html><head><title>sat</title></head><body>
<a href="{base}/data/sat//11_15.tiff">11_15.tiff</a> </br>
<a href="12_15.tiff">12_15.tiff</a> <A HREF='/data/sat/13%5F15.tiff'>13</A>
<a href="..%2F..%2F99_15.tiff">no</a> <a href=".14_15.tiff">no</a> <a name="15_15.tiff">no</a> <a href="readme.txt">
<a href="12_15.tiff">again</a></body>"""


def test_an_index_page_lists_the_files(site, folder):
    site.files["/data/sat/index.html"] = Resource(PAGE.format(base=site.base).encode(), content_type="text/html")
    for name, path in (("11", "sat//11"), ("12", "sat/12"), ("13", "sat/13"), ("99", "../99")):
        site.files[f"/data/{path}_15.tiff"] = Resource(name.encode())
    index = {"url": f"{site.base}/data/sat/index.html", "pattern": r"1\d_15\.tiff", "folder": "train/sat", "count": 3}

    retrieve(folder, indexes=[index])

    assert data_files(folder) == [f"train/sat/{number}_15.tiff" for number in (11, 12, 13)]
    assert (folder / "train/sat/13_15.tiff").read_bytes() == b"13"
    assert inventory(folder)["train/sat/11_15.tiff"]["url"] == f"{site.base}/data/sat//11_15.tiff"

    (folder / "train/sat/12_15.tiff").unlink()
    site.requests.clear()
    retrieve(folder, indexes=[index])
    assert [request.path for request in site.requests] == ["/data/sat/index.html", "/data/sat/12_15.tiff"]


def test_a_hostile_index_page_reaches_nothing_outside(site, folder):
    hrefs = ["../../evil", "..%2f..%2fevil", "/etc/..%2Fevil", "%2e%2e", "..", "\\..\\evil"]
    site.files["/index.html"] = Resource("".join(f'<a href="{href}">' for href in hrefs).encode())
    for path in ("/evil", "/../evil", "/../../evil", "/etc/../evil", "/\\..\\evil"):
        site.files[path] = Resource(b"evil")
    index = {"url": f"{site.base}/index.html", "pattern": ".*", "folder": "x", "count": 2}

    retrieve(folder, indexes=[index])

    assert data_files(folder) == ["x/\\..\\evil", "x/evil"], "a backslash is a letter like any other"
    assert [path for path in folder.parent.parent.rglob("*evil*") if path.parent != folder / "x"] == []


def test_a_page_that_lists_too_few_or_cannot_be_read_is_a_failure(site, folder):
    site.files["/few/"] = Resource(b'<a href="1.tif">', content_type="text/html")
    indexes = [
        {"url": f"{site.base}/few/", "pattern": r"\d\.tif", "folder": "few", "count": 2},
        {"url": f"{site.base}/none/", "pattern": r"\d\.tif", "folder": "none", "count": 2},
    ]

    message = refusal(folder, indexes=indexes)

    assert f"- {site.base}/few/\n      it links to 1 file that matches \\d\\.tif, expected 2" in message
    assert f"- {site.base}/none/\n      the server answered 404" in message
    assert f"put the files (2) by hand into {folder / 'none'}, where there are 0 now" in message

    for place in ("few", "none"):
        (folder / place).mkdir()
        for number in (1, 2):
            (folder / place / f"{number}.tif").write_bytes(b"by hand")
    site.requests.clear()
    retrieve(folder, indexes=indexes)
    assert site.requests == []
    assert len(inventory(folder)) == 4


def test_what_is_being_downloaded_is_not_taken_for_a_file(site, folder):
    site.files |= {"/": Resource(b'<a href="1.tif">', content_type="text/html"), "/1.tif": Resource(b"one")}
    (folder / "x").mkdir(parents=True)
    (folder / "x/1.tif.part").write_bytes(b"o")

    retrieve(folder, indexes=[{"url": f"{site.base}/", "pattern": ".+", "folder": "x", "count": 1}])

    assert data_files(folder) == ["x/1.tif"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", ["plain"]),
        ("a{1,2}b", ["a1b", "a2b"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{a,b}{1..2,7}", ["a1", "a2", "a7", "b1", "b2", "b7"]),
        ("x{}y", ["xy"]),
    ],
)
def test_braces(text, expected):
    assert expand_braces(text) == expected


@given(st.integers(0, 2000), st.integers(0, 50), st.integers(1, 6))
def test_ranges_are_padded_and_complete(first, more, width):
    expanded = expand_braces(f"{{{first:0{width}d}..{first + more}}}")

    assert [int(text) for text in expanded] == list(range(first, first + more + 1))
    assert all(len(text) >= width for text in expanded)


def test_a_range_backwards_is_a_mistake():
    with pytest.raises(MaskmillError, match="runs backwards"):
        expand_braces("{3..1}")

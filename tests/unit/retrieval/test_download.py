"""Single downloads from a local server that misbehaves."""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from maskmill.retrieval.download import DownloadError, Patience, download
from tests.unit.retrieval.file_server import Resource, serve

DATA = np.random.default_rng(0).bytes(600_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = np.random.default_rng(1).bytes(600_000)
QUICK = Patience(tries=3, pause=0.01, timeout=5)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new folder" / "data.bin"


def assert_complete(target, data=DATA):
    assert target.read_bytes() == data
    assert [path.name for path in target.parent.iterdir()] == [target.name], "nothing else is left"


def leave_part(site, target, resource, cut):
    """Let a download be cut off after `cut` bytes once and for all."""
    site.files["/data.bin"] = resource
    resource.cuts = [cut]
    resource.statuses = []
    with pytest.raises(DownloadError, match=r"cut off|connection failed"):
        download(f"{site.base}/data.bin", target, patience=Patience(tries=1))
    assert target.with_name("data.bin.part").stat().st_size == cut
    assert not target.exists()
    site.requests.clear()


def test_a_whole_file(site, target):
    site.files["/data.bin"] = Resource(DATA, etag='"a"')

    assert download(f"{site.base}/data.bin", target, DIGEST, len(DATA), QUICK) == DIGEST

    assert_complete(target)
    assert site.sent("/data.bin") == len(DATA)


def test_an_empty_file_and_one_of_unstated_length(site, target):
    site.files |= {"/empty": Resource(b""), "/unsized": Resource(DATA, sized=False)}

    download(f"{site.base}/empty", target, patience=QUICK)
    assert_complete(target, b"")
    download(f"{site.base}/unsized", target, patience=QUICK)
    assert_complete(target)


@pytest.mark.parametrize("validators", [{"etag": '"a"'}, {"modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_cut_connection_is_resumed_within_a_call(site, target, validators):
    site.files["/data.bin"] = Resource(DATA, cuts=[100_000, 1, 0, 200_000], **validators)

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)
    assert site.sent("/data.bin") == len(DATA), "no byte is sent twice"
    assert [request.range for request in site.requests] == [
        None,
        "bytes=100000-",
        "bytes=100001-",
        "bytes=100001-",
        "bytes=300001-",
    ]
    assert {request.if_range for request in site.requests[1:]} == set(validators.values())


def test_a_later_call_transfers_only_the_rest(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 123_456)

    assert download(f"{site.base}/data.bin", target, patience=QUICK) == DIGEST

    assert_complete(target)
    assert site.sent("/data.bin") == len(DATA) - 123_456


def test_a_killed_download_goes_on(site, target):
    stall = threading.Event()
    site.files["/data.bin"] = Resource(DATA, etag='"a"', cuts=[300_000], stall=stall)
    code = (
        "import sys; from pathlib import Path; from maskmill.retrieval.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{site.base}/data.bin", str(target)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    part = target.with_name("data.bin.part")
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size >= 2**18) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stall.set()
    have = part.stat().st_size
    assert 2**18 <= have <= 300_000
    assert not target.exists()
    site.requests.clear()

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)
    assert site.sent("/data.bin") == len(DATA) - have


def test_a_part_that_only_lacks_its_name_is_not_fetched_again(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 500_000)
    target.with_name("data.bin.part").write_bytes(DATA)

    assert download(f"{site.base}/data.bin", target, patience=QUICK) == DIGEST

    assert_complete(target)
    assert site.requests == []


def test_a_file_that_changed_on_the_server_is_fetched_afresh(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 100_000)
    site.files["/data.bin"] = Resource(OTHER, etag='"b"')

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target, OTHER)
    assert [(request.if_range, request.status) for request in site.requests] == [('"a"', 200)]


@pytest.mark.parametrize(
    "changed", [Resource(OTHER, etag='"b"', heeds_if_range=False), Resource(OTHER[:-1], heeds_if_range=False)]
)
def test_a_changed_file_is_noticed_where_the_server_does_not_heed_if_range(site, target, changed):
    leave_part(site, target, Resource(DATA, etag='"a"'), 100_000)
    site.files["/data.bin"] = changed

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target, changed.data)


@pytest.mark.parametrize("validators", [{}, {"etag": 'W/"a"'}])
def test_nothing_is_resumed_that_nothing_proves_to_be_the_same(site, target, validators):
    leave_part(site, target, Resource(DATA, **validators), 100_000)
    site.files["/data.bin"].cuts = [50_000]

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)
    assert [request.range for request in site.requests] == [None, None]


def test_a_checksum_proves_enough_to_resume_even_from_another_address(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 100_000)
    site.files["/mirror.bin"] = Resource(DATA, etag='"b"')

    download(f"{site.base}/mirror.bin", target, DIGEST, patience=QUICK)

    assert_complete(target)
    assert site.sent("/mirror.bin") == len(DATA) - 100_000


def test_without_a_checksum_another_address_is_another_file(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 100_000)
    site.files["/other.bin"] = Resource(OTHER, etag='"a"')

    download(f"{site.base}/other.bin", target, patience=QUICK)

    assert_complete(target, OTHER)
    assert site.requests[0].range is None


def test_pieces_that_do_not_fit_together_are_fetched_afresh(site, target):
    leave_part(site, target, Resource(OTHER), 100_000)
    site.files["/data.bin"] = Resource(DATA)

    download(f"{site.base}/data.bin", target, DIGEST, patience=QUICK)

    assert_complete(target)
    assert [request.status for request in site.requests] == [206, 200]


def test_a_server_without_ranges_sends_the_whole_again(site, target):
    site.files["/data.bin"] = Resource(DATA, etag='"a"', ranges=False, cuts=[100_000, 400_000])

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)
    assert [request.status for request in site.requests] == [200, 200, 200]


def test_more_bytes_than_the_server_has_are_discarded(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 400_000)
    site.files["/data.bin"] = Resource(OTHER[:300_000], etag='"a"', heeds_if_range=False)

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target, OTHER[:300_000])


def test_a_wrong_checksum_discards_the_file_and_names_both(site, target):
    site.files["/data.bin"] = Resource(OTHER)

    with pytest.raises(DownloadError) as caught:
        download(f"{site.base}/data.bin", target, DIGEST, patience=QUICK)

    assert DIGEST in str(caught.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert list(target.parent.iterdir()) == []
    assert len(site.requests) == 1, "the same wrong file is not fetched again"


def test_a_wrong_size_is_refused_before_the_transfer(site, target):
    stall = threading.Event()
    site.files["/data.bin"] = Resource(DATA, cuts=[10], stall=stall)

    with pytest.raises(DownloadError, match="600000 bytes, expected 600001"):
        download(f"{site.base}/data.bin", target, size=600_001, patience=QUICK)
    stall.set()

    assert list(target.parent.iterdir()) == []
    assert len(site.requests) == 1


def test_a_wrong_size_is_refused_after_the_transfer_where_it_was_not_stated(site, target):
    site.files["/data.bin"] = Resource(DATA, sized=False)

    with pytest.raises(DownloadError, match="600000 bytes, expected 600001; discarded"):
        download(f"{site.base}/data.bin", target, size=600_001, patience=QUICK)

    assert list(target.parent.iterdir()) == []
    assert len(site.requests) == 1


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (410, 1), (500, 3), (503, 3), (429, 3)])
def test_only_what_may_pass_is_tried_again(site, target, status, requests):
    site.files["/data.bin"] = Resource(DATA, statuses=[status] * 9)

    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        download(f"{site.base}/data.bin", target, patience=QUICK)

    assert len(site.requests) == requests


def test_an_error_that_passes_does_no_harm(site, target):
    site.files["/data.bin"] = Resource(DATA, statuses=[500, 503])

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)


def test_every_new_byte_earns_new_patience(site, target):
    site.files["/data.bin"] = Resource(DATA, etag='"a"', cuts=[1000] * 20)

    download(f"{site.base}/data.bin", target, patience=Patience(tries=2, pause=0))

    assert_complete(target)


def test_a_server_that_always_cuts_at_the_same_byte_is_given_up(site, target):
    site.files["/data.bin"] = Resource(DATA, ranges=False, cuts=[1000] * 20)

    with pytest.raises(DownloadError, match="given up after 3 tries"):
        download(f"{site.base}/data.bin", target, patience=QUICK)

    assert len(site.requests) == 3


def test_a_stalling_server_is_asked_again(site, target):
    stall = threading.Event()
    site.files["/data.bin"] = Resource(DATA, etag='"a"', cuts=[2**17], stall=stall)

    download(f"{site.base}/data.bin", target, patience=Patience(tries=2, pause=0, timeout=0.3))
    stall.set()

    assert_complete(target)
    assert site.requests[1].range == f"bytes={2**17}-"


def test_redirections_are_followed_and_loops_are_not(site, target):
    site.files |= {
        "/old": Resource(location="/data.bin"),
        "/data.bin": Resource(DATA, etag='"a"', cuts=[1000]),
        "/loop": Resource(location="/loop"),
    }

    download(f"{site.base}/old", target, patience=QUICK)

    assert_complete(target)
    assert site.sent("/data.bin") == len(DATA)
    with pytest.raises(DownloadError, match="redirection"):
        download(f"{site.base}/loop", target, patience=QUICK)


def test_a_web_page_is_no_picture(site, target):
    site.files["/data.bin"] = Resource(b"<html>please log in</html>", content_type="text/html; charset=utf-8")

    with pytest.raises(DownloadError, match="web page"):
        download(f"{site.base}/data.bin", target, patience=QUICK)

    assert not target.exists()


def test_nobody_answers(site, target):
    with serve() as gone:
        address = gone.base

    with pytest.raises(DownloadError, match=r"connection failed with 0 bytes received.*refused"):
        download(f"{address}/data.bin", target, patience=QUICK)


@pytest.mark.parametrize("address", ["data.bin", "ftp://example.org/data.bin", "http://"])
def test_no_web_address(target, address):
    with pytest.raises(DownloadError, match="no address of a file on the web"):
        download(address, target, patience=QUICK)


def test_damaged_notes_are_as_good_as_none(site, target):
    leave_part(site, target, Resource(DATA, etag='"a"'), 100_000)
    target.with_name("data.bin.part.json").write_text('{"url": ')

    download(f"{site.base}/data.bin", target, patience=QUICK)

    assert_complete(target)
    assert site.requests[0].range is None


def test_stopping_ends_a_download_and_keeps_what_came(site, target):
    site.files["/data.bin"] = Resource(DATA, etag='"a"')
    patience = Patience()
    patience.stop.set()

    with pytest.raises(DownloadError, match="stopped"):
        download(f"{site.base}/data.bin", target, patience=patience)

    assert not target.exists()

"""A real gunicorn: slow and endless uploads, an orderly end, the fuzzer's requests."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import requests

from maskmill.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(bundle, *options, token=None):
    """A `maskmill serve` that answers, and its address."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)} | ({"MASKMILL_TOKEN": token} if token else {})
    command = [sys.executable, "-m", "maskmill", "serve", str(bundle), "--port", str(port), "--threads", "1", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stdout.read()
            try:
                requests.get(f"{address}/ready", timeout=10)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield process, address
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.fixture(scope="module")
def server(bundle):
    with served(bundle, "--upload-seconds", "1", "--megabytes", "1") as (_, address):
        yield address


def send(address, content, **options):
    return requests.post(f"{address}/predict", files={"image": content}, timeout=60, **options)


def test_answers_are_those_of_predict_under_concurrency(server, bundle, picture, tmp_path):
    assert main(["predict", str(bundle), str(picture), "-o", str(tmp_path)]) == 0
    content, expected = picture.read_bytes(), (tmp_path / "picture.png").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(server, content), range(24)))

    assert all(answer.content == expected for answer in answers)
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 24


HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
)


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def send_slowly(connection, seconds):
    """Send a byte now and then for so long, or until it is no longer taken; whether it was to the end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.2)
        try:
            connection.sendall(b"x")
        except OSError:
            return False
    return True


@pytest.mark.parametrize("start", [HEAD, b"", b"POST /predict HT"], ids=["body", "request", "headers"])
@pytest.mark.parametrize("slow", [False, True], ids=["silent", "drop by drop"])
def test_a_request_that_does_not_end_is_given_up(server, start, slow):
    """The server takes a second at most; a byte now and then does not make it longer."""
    with connected(server) as connection:
        connection.sendall(start)
        if slow:
            assert not send_slowly(connection, 10)
            return
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408") if start == HEAD else not answer


@contextmanager
def taken(address, content):
    """A service whose places are all taken by uploads that do not end; what it answers to this picture."""
    with ExitStack() as held:
        while (answer := send(address, content)).status_code != 429:
            held.enter_context(connected(address)).sendall(HEAD)
        yield answer


def test_slow_uploads_hold_up_nobody_who_asks_how_it_is(bundle, picture):
    with (
        served(bundle, "--upload-seconds", "60", "--at-once", "1", "--waiting", "2") as (_, address),
        taken(address, picture.read_bytes()) as refused,
    ):
        began = time.monotonic()

        assert requests.get(f"{address}/health", timeout=10).ok
        assert time.monotonic() - began < 5
        assert refused.headers["Retry-After"] == "1"


def test_who_is_refused_can_read_why(bundle):
    """Also with megabytes still to be sent, which nobody reads."""
    with served(bundle, "--waiting", "0", "--at-once", "1", "--megabytes", "10") as (_, address):
        too_large = send(address, bytes(50_000_000))
        with taken(address, bytes(9_000_000)) as refused:
            pass

    assert too_large.status_code == 413
    assert "more than 10 MB" in too_large.json()["detail"]
    assert "1 in work, 0 waiting" in refused.json()["detail"]


def test_idle_connections_do_not_put_off_the_end(bundle):
    with served(bundle) as (process, address), requests.Session() as session:
        assert session.get(f"{address}/health", timeout=10).ok
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0
        assert time.monotonic() - began < 15


def test_it_listens_to_this_machine_alone(server):
    port = int(server.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)  # this machine too, by another address


def test_a_client_that_goes_away_harms_nobody(server, picture):
    host, port = server.removeprefix("http://").split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(HEAD)

    assert send(server, picture.read_bytes()).ok


def test_uploads_without_a_length_are_limited_too(server):
    def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
        for _ in range(64):
            yield b"x" * (1 << 16)
        yield b"\r\n--b--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = requests.post(f"{server}/predict", data=endless(), headers=kind, timeout=30)
    except requests.ConnectionError:
        return  # the connection was closed while more was being sent
    assert answer.status_code == 413


def test_the_end_waits_for_pictures_in_work(bundle, tmp_path):
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    with served(bundle) as (process, address), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, address, (tmp_path / "large.png").read_bytes())
        while 'endpoint="predict"' in requests.get(f"{address}/metrics", timeout=10).text:
            pass
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)

        assert answer.result(60).ok
        assert process.wait(60) == 0


def test_a_token_from_the_environment(bundle, picture):
    with served(bundle, token="secret") as (_, address):
        content, bearer = picture.read_bytes(), {"Authorization": "Bearer secret"}

        assert send(address, content).status_code == 401
        assert send(address, content, headers=bearer).ok


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at-once", "0"], "--at-once is 0"),
        (["--seconds", "-1", "--megabytes", "0"], "--megabytes is 0.0, --seconds is"),
        (["--upload-seconds", "nan"], "--upload-seconds is nan"),
    ],
)
def test_limits_that_make_no_sense(bundle, capsys, options, words):
    assert main(["serve", str(bundle), *options]) == 1
    assert words in capsys.readouterr().err


def test_what_is_no_bundle_is_said_before_anything_starts(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 1
    assert "is not a bundle" in capsys.readouterr().err


@pytest.mark.slow
def test_the_fuzzer_finds_no_failure(server, tmp_path):
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server}/openapi.json", "--max-examples", "60",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--generation-deterministic",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]

"""How many pictures a second does the service answer, beside the usual Flask snippet under the same gunicorn?

The snippet decodes, runs PyTorch eagerly, and encodes, all in the request: the U-Net of the same weights at the same
scale, without tiles, steps or limits. Both are served by gunicorn with one process and the same number of threads, in
turn, to the same clients, with small PNG pictures. Rates are requests a second; the best of the turns counts. Beside
them stand the processors' seconds of the servers a request, which other work on the machine changes little.
`--runtime`, `--precision` and `--service-threads` (compute threads, 0: as many as the snippet's) are passed on to the
service. `--large` sends it one picture of that side as PNG, and to another start as TIFF in tiles, and prints what its
memory grew by instead.

    python bench/service.py --bundle FOLDER [--side 256] [--clients 8] [--requests 200] [--threads 2] [--at-least 3]
                            [--runtime openvino --precision bf16] [--json FILE]
    python bench/service.py --bundle FOLDER --large 8000
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import requests
import tifffile
from PIL import Image

from maskmill.deployment.bundle import read_card
from maskmill.files import write_json
from maskmill.inference.artifacts import add_artifact_options
from maskmill.tracking.environment import processor_name

TURNS = 3
SNIPPET = """
import io, numpy, torch
from flask import Flask, request, send_file
from PIL import Image
from maskmill.models import load_model
torch.set_num_threads({threads})
model = load_model({weights!r})[0].eval()
app = Flask("snippet")

@app.post("/predict")
def predict():
    picture = Image.open(request.files["image"].stream).convert("RGB")
    seen = picture if {scale} == 1 else picture.resize([round({scale} * side) for side in picture.size])
    values = torch.from_numpy(numpy.asarray(seen).transpose(2, 0, 1)[None] / numpy.float32(255))
    with torch.no_grad():
        logits = model(values)
    mask = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0
    buffer = io.BytesIO()
    Image.fromarray(mask[0].numpy().astype("uint8")).resize(picture.size, Image.NEAREST).save(buffer, "png")
    buffer.seek(0)
    return send_file(buffer, "image/png")

@app.get("/ready")
def ready():
    return "ok"
"""


@contextmanager
def running(command: list[str], port: int, folder: Path):
    """A server that answers; its process."""
    with open(folder / "server.log", "w") as log:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(600):
                try:
                    requests.get(f"http://127.0.0.1:{port}/ready", timeout=60)
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands(side: str, arguments: argparse.Namespace, port: int, folder: Path) -> list[str]:
    """How a side is started: "ours" or "theirs"."""
    if side == "ours":
        at_once = [
            "--at-once",
            str(arguments.clients),
            "--threads",
            str(arguments.service_threads or arguments.threads),
        ]
        large = ["--megapixels", "1000", "--megabytes", "2000", "--seconds", "3600"]
        artifact = ["--runtime", arguments.runtime, "--precision", arguments.precision]
        command = [sys.executable, "-m", "maskmill", "serve", str(arguments.bundle), "--port", str(port)]
        return [*command, *at_once, *large, *artifact]
    weights = str(arguments.bundle / "model.safetensors")
    scale = read_card(arguments.bundle)["recipe"]["preprocessing"]["scale"]
    (folder / "snippet.py").write_text(SNIPPET.format(threads=arguments.threads, weights=weights, scale=scale))
    gunicorn = [sys.executable, "-m", "gunicorn", "-w", "1", "-k", "gthread", "--threads", str(arguments.clients)]
    return [*gunicorn, "-b", f"127.0.0.1:{port}", "snippet:app"]


def post(port: int, picture: bytes) -> None:
    """Send a picture and take its mask; by what costs a client least, since it has the same processors."""
    boundary = uuid.uuid4().hex
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = part.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n"
    )
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=3600) as connection:
        connection.sendall(head.encode() + body)
        while received := connection.recv(1 << 16):
            answer += received
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"answered {bytes(answer[:500])!r}")


def load(port: int, pictures: list[bytes], count: int, clients: int, server: int | None = None) -> dict[str, float]:
    """Requests a second, and seconds of a request; of the processors too, where the server's process is given."""

    def send(number: int) -> float:
        began = time.perf_counter()
        post(port, pictures[number % len(pictures)])
        return time.perf_counter() - began

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send, range(2 * clients)))
        began, used = time.perf_counter(), processor_seconds(server)
        seconds = sorted(pool.map(send, range(count)))
        total, used = time.perf_counter() - began, processor_seconds(server) - used
    p99 = seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
    times = {"p50": statistics.median(seconds), "p99": p99, "processor": used / count}
    return {"requests_per_second": count / total} | times


def processor_seconds(server: int | None) -> float:
    """Seconds that a server and its workers have had of the processors."""
    if server is None:
        return 0.0
    family = [psutil.Process(server), *psutil.Process(server).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family)


def picture(side: int, seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(values.repeat(8, 0).repeat(8, 1)).save(buffer, "png")
    return buffer.getvalue()


def compare(arguments: argparse.Namespace) -> dict:
    pictures = [picture(arguments.side, seed) for seed in range(8)]
    runs: dict[str, list] = {"ours": [], "theirs": []}
    for _ in range(TURNS):
        for side, found in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                port = free_port()
                with running(commands(side, arguments, port, Path(folder)), port, Path(folder)) as process:
                    found.append(load(port, pictures, arguments.requests, arguments.clients, process.pid))
    return {side: max(found, key=lambda run: run["requests_per_second"]) for side, found in runs.items()}


def tiled_picture(side: int) -> bytes:
    """What `picture` draws, as a TIFF file that can be read window by window."""
    buffer = BytesIO()
    with Image.open(BytesIO(picture(side, 0))) as image:
        tifffile.imwrite(buffer, np.asarray(image), photometric="rgb", tile=(512, 512), compression="zlib")
    return buffer.getvalue()


def send_large(arguments: argparse.Namespace, kind: str, content: bytes) -> None:
    """Memory of the service before and at most during one large picture."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        port = free_port()
        with running(commands("ours", arguments, port, Path(folder)), port, Path(folder)) as process:
            post(port, picture(256, 0))
            family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children())]
            before = peak_mb(family)
            answer = pool.submit(post, port, content)
            while not answer.done():
                time.sleep(0.5)
            answer.result()
            after = peak_mb(family)
    pixels = arguments.large**2 / 1e6
    print(
        f"service: {after - before:.0f} MB more at most for {pixels:.0f} million pixels of {kind} ({before:.0f} before)"
    )


def peak_mb(pids: list[int]) -> float:
    """Greatest resident memory so far of processes, VmHWM of Linux."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", type=lambda path: Path(path).resolve(), required=True)
    for name, default in (
        ("side", 256),
        ("clients", 8),
        ("requests", 200),
        ("threads", 2),
        ("service-threads", 0),
        ("large", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    add_artifact_options(parser)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.large:
        send_large(arguments, "PNG", picture(arguments.large, 0))
        send_large(arguments, "tiled TIFF", tiled_picture(arguments.large))
        return 0
    result = compare(arguments)
    ours, theirs = (result[side]["requests_per_second"] for side in ("ours", "theirs"))
    less = result["theirs"]["processor"] / result["ours"]["processor"]
    hardware = f"{processor_name()}, {len(os.sched_getaffinity(0))} core(s) used, {platform.machine()}"
    if arguments.json:
        options = ("side", "clients", "requests", "threads", "service_threads", "runtime", "precision")
        given = {name: getattr(arguments, name) for name in options}
        about = {"date": str(date.today()), "hardware": hardware, "ratio": ours / theirs, "processor_ratio": less}
        write_json(arguments.json, given | result | about)
    print(json.dumps(result))
    print(
        f"service: ratio={ours / theirs:.2f} (ours {ours:.1f} requests/s, theirs {theirs:.1f}, p99 "
        f"{1000 * result['ours']['p99']:.0f} and {1000 * result['theirs']['p99']:.0f} ms; processors' seconds × "
        f"{less:.2f}; hardware {hardware})"
    )
    return 0 if ours / theirs >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())

"""An HTTP server for tests that can misbehave in the ways real ones do, and remembers what it was asked for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Resource:
    """One file of the server.

    cuts: for each of the next deliveries the number of bytes after which the connection is closed. statuses: the
    answers before the file is delivered. location: where to redirect to. stall: the event to wait for after the number
    of bytes in `cuts`, instead of closing. sized: whether the length is stated.
    """

    data: bytes = b""
    etag: str | None = None
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    sized: bool = True
    content_type: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str | None = None
    stall: threading.Event | None = None


@dataclass
class Request:
    """What was asked for, what was answered, and how many bytes of the body were sent."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


class FileServer:
    """Files by path; `base` is the address of "/". `requests` grow as they come in."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.files: dict[str, Resource] = {}
        self.requests: list[Request] = []

    def sent(self, path: str) -> int:
        """Bytes of all bodies sent for a file."""
        return sum(request.sent for request in self.requests if request.path == path)


@contextmanager
def serve() -> Iterator[FileServer]:
    """Run a server in a thread."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.site = FileServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Handler.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: FileServer

    def do_GET(self) -> None:
        request = Request(unquote(self.path), self.headers["Range"], self.headers["If-Range"])
        self.site.requests.append(request)
        resource = self.site.files.get(request.path)
        self.close_connection = True
        try:
            if resource is None:
                self._answer(request, 404)
            elif resource.statuses:
                self._answer(request, resource.statuses.pop(0))
            elif resource.location:
                self._answer(request, 302, Location=resource.location)
            else:
                self._deliver(request, resource)
        except ConnectionError:
            pass

    def _answer(self, request: Request, status: int, **headers: str) -> None:
        request.status = status
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _deliver(self, request: Request, resource: Resource) -> None:
        size, start = len(resource.data), self._start(request, resource)
        if start >= size > 0:
            self._answer(request, 416, **{"Content-Range": f"bytes */{size}"})
            return
        request.status = 206 if start else 200
        self.send_response(request.status)
        for name, value in (("ETag", resource.etag), ("Last-Modified", resource.modified)):
            if value:
                self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if resource.sized:
            self.send_header("Content-Length", str(size - start))
        self.send_header("Content-Type", resource.content_type)
        self.end_headers()
        self._send(request, resource, resource.data[start:])

    def _start(self, request: Request, resource: Resource) -> int:
        validators = [validator for validator in (resource.etag, resource.modified) if validator]
        same = request.if_range is None or request.if_range in validators or not resource.heeds_if_range
        if not (request.range and resource.ranges and same):
            return 0
        return int(request.range.removeprefix("bytes=").removesuffix("-"))

    def _send(self, request: Request, resource: Resource, body: bytes) -> None:
        cut = resource.cuts.pop(0) if resource.cuts else len(body)
        request.sent = len(body[:cut])  # noted first: the client may be done before this thread goes on
        self.wfile.write(body[:cut])
        if resource.stall and cut < len(body):
            resource.stall.wait(30)

    def log_message(self, *args) -> None:
        pass

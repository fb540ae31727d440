"""gunicorn, told what it needs: one process, whose threads share the model, and connections that end in time."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import RequestTimeout

from maskmill.serving.limits import Limits

_SPARE_THREADS = 8
"""Beside those of pictures in work and waiting: for answers that there are too many, and on how the service is."""

_LOOK_SECONDS = 0.25

_LINGER_SECONDS = 0.5
"""For clients that still send to take in the answer that they are refused."""


def serve(make_app: Callable, bind: str, limits: Limits) -> None:
    """Serve what `make_app` makes, in the process that it is called in, until SIGTERM or SIGINT.

    One process, since the model is shared by its threads: several would each hold it and batch for themselves, and the
    network, decoders and encoders leave Python to other threads while they work. A request that does not arrive whole
    within `limits.upload_seconds`, or whose answer is not taken, loses its connection, so that no thread is held.
    """
    watch = Watch(limits.upload_seconds, 2 * limits.upload_seconds + limits.seconds)
    options = {
        "bind": bind,
        "workers": 1,
        "worker_class": _watched_worker(watch),
        "threads": limits.at_once + limits.waiting + _SPARE_THREADS,
        "timeout": 0,
        "graceful_timeout": int(limits.upload_seconds + limits.seconds) + 1,
        "control_socket_disable": True,
        "accesslog": "-",
        "access_log_format": '%(h)s "%(m)s %(U)s" %(s)s %(b)s B %(M)s ms %({x-request-id}o)s',
        "proc_name": "maskmill",
    }
    _Application(lambda: _timed_inputs(make_app(), watch), options).run()


class _Application(BaseApplication):
    def __init__(self, make_app: Callable, options: dict[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self):
        return self._make_app()


def _watched_worker(watch: "Watch") -> type[ThreadWorker]:
    class WatchedWorker(ThreadWorker):
        """gunicorn's threads, each of which leaves a connection in time."""

        def init_process(self) -> None:
            watch.start()
            super().init_process()

        def handle(self, conn):
            with watch.over(conn.sock):
                kept = super().handle(conn)
                if kept is False:
                    _hang_up(conn.sock)
            return kept

        def _keepalive_after(self, conn, keepalive):
            # gunicorn waits for seconds for the rest of a body that nobody reads, of a request that was refused
            return keepalive and conn.parser.finish_body(deadline=time.monotonic() + _LINGER_SECONDS)

        def handle_exit(self, sig, frame) -> None:
            super().handle_exit(sig, frame)
            self.method_queue.defer(self.end_idle)

        def end_idle(self) -> None:
            """Let connections expire on which no request is under way; the end would wait for them."""
            for conn in (*self.keepalived_conns, *self.pending_conns):
                conn.timeout = 0

    return WatchedWorker


def _hang_up(connection: socket.socket) -> None:
    """End a connection once the client has its answer; gunicorn would let everybody wait for this."""
    until = time.monotonic() + _LINGER_SECONDS
    with suppress(OSError):  # it is closed already, or the time is over
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(1 << 16):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


class Watch:
    """Ends connections that are not done in time.

    arrival: seconds after which nothing more is read of a request; whole: seconds after which its connection is cut.
    A deadline of the socket's own would begin anew with each byte that trickles in.
    """

    def __init__(self, arrival: float, whole: float) -> None:
        self.arrival, self._whole = arrival, whole
        self._begun: dict[socket.socket, float] = {}

    def start(self) -> None:
        """Begin to watch, in the process whose connections they are."""
        Thread(target=self._look, name="watch", daemon=True).start()

    @contextmanager
    def over(self, connection: socket.socket) -> Iterator[None]:
        """Watch over a connection within the block, which handles one request."""
        self._begun[connection] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[connection]

    def is_late(self, connection: socket.socket) -> bool:
        """Whether nothing more is read of the request that is handled on a connection."""
        return time.monotonic() - self._begun[connection] > self.arrival

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            for connection, begun in list(self._begun.items()):
                if now - begun > self.arrival:
                    with suppress(OSError):  # it is closed already
                        connection.shutdown(socket.SHUT_RDWR if now - begun > self._whole else socket.SHUT_RD)


def _timed_inputs(app: Callable, watch: Watch) -> Callable:
    """The application, with bodies that tell a request that came too late from one that broke off."""

    def application(environ, start_response):
        environ["wsgi.input"] = _TimedInput(environ["wsgi.input"], environ["gunicorn.socket"], watch)
        return app(environ, start_response)

    return application


class _TimedInput:
    """The body of a request, which has to be there in time."""

    def __init__(self, body, connection: socket.socket, watch: Watch) -> None:
        self._body, self._connection, self._watch = body, connection, watch

    def read(self, size: int = -1) -> bytes:
        """As of any file. Raises RequestTimeout where the `Watch` has ended it."""
        return self._in_time(self._body.read(size))

    def readline(self, size: int = -1) -> bytes:
        """As of any file. Raises RequestTimeout where the `Watch` has ended it."""
        return self._in_time(self._body.readline(size))

    def _in_time(self, content: bytes) -> bytes:
        if self._watch.is_late(self._connection):
            raise RequestTimeout(f"the upload took longer than {self._watch.arrival:g} seconds; send it again, or less")
        return content

"""gunicorn, told what it needs: one process, whose threads share the model."""

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication


class _Application(BaseApplication):
    def __init__(self, make_app: Callable, options: dict[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self):
        return self._make_app()


def serve(make_app: Callable, bind: str, threads: int, graceful_seconds: float) -> None:
    """Serve what `make_app` makes, in the process that it is called in, until SIGTERM or SIGINT.

    One process, since the model is shared by its threads: several would each hold it and batch for themselves.
    """
    options = {
        "bind": bind,
        "workers": 1,
        "worker_class": "gthread",
        "threads": threads,
        "timeout": 0,
        "graceful_timeout": int(graceful_seconds) + 1,
        "accesslog": "-",
        "access_log_format": '%(h)s "%(m)s %(U)s" %(s)s %(b)s B %(M)s ms %({x-request-id}o)s',
        "proc_name": "maskmill",
    }
    _Application(make_app, options).run()

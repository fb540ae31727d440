"""Logging and progress, to the terminal and to the rule's log file alike."""

import errno
import logging
import math
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from maskmill.errors import MaskmillError

T = TypeVar("T")
logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10


def configure_logging(path: str | None = None) -> None:
    """Send log records, warnings and uncaught errors to standard error and, if given, to the file `path`.

    The file begins with the Python that writes it and its environment, by which a job tells where it ran.
    A `MaskmillError` is logged by its message alone, an interruption (Ctrl-C) in a word, a full disk by what to do, any
    other exception with its traceback.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a", encoding="utf-8") as log:
            log.write(f"Python {platform.python_version()} in {sys.prefix}\n")
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind, error, traceback) -> None:
    if issubclass(kind, KeyboardInterrupt):
        logger.error("interrupted")
    elif issubclass(kind, MaskmillError):
        logger.error("%s", error)
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        logger.error("the disk is full: %s; make room, then run the same command again", error)
    else:
        logger.error("unexpected error", exc_info=(kind, error, traceback))


def progress(items: Iterable[T], what: str, total: float | None = None) -> Iterator[T]:
    """Iterate over `items`, showing a bar on a terminal and a log line at most every ten seconds elsewhere.

    total: how many there are; None where they can be counted first, infinity where that is not known.
    """
    if total is None:
        items = list(items)
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            logger.info("%s: %d of %s", what, done, "?" if total == math.inf else total)

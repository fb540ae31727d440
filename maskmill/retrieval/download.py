"""Fetch one file over HTTP: resumed where it was cut off, verified, complete under its name or not there at all."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from maskmill import __version__
from maskmill.errors import MaskmillError
from maskmill.files import sha256_file, write_json
from maskmill.logs import progress

CHUNK = 2**16
MEGABYTE = 2**20
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed."""

logger = logging.getLogger(__name__)


class DownloadError(MaskmillError):
    """A file that could not be fetched from one address, and why."""


class _TemporaryError(DownloadError):
    """A failure that another try may mend."""


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    tries: failures in a row, without a new byte in between, after which an address is given up. pause: seconds before
    the second try, doubled before each further one. timeout: seconds to wait for an answer or for more bytes.
    stop: when set, downloads end at the next bytes.
    """

    tries: int = 4
    pause: float = 1.0
    timeout: float = 30.0
    stop: threading.Event = field(default_factory=threading.Event)


def download(
    url: str, target: Path, sha256: str | None = None, size: int | None = None, patience: Patience | None = None
) -> str:
    """Fetch `url` to the file `target`, whose folder is made, and return its hexadecimal SHA-256.

    The bytes gather in `target`.part. What is there already is kept where `sha256` is known, which proves the whole in
    the end, or where the server confirms that its file is still the same one (If-Range with a strong ETag or with
    Last-Modified, RFC 9110 section 13.1.5); `target`.part.json holds what that takes. sha256, size: of the whole file,
    in bytes, where known; a file that differs is discarded.

    Raises DownloadError where the address does not deliver the file, OSError where it cannot be written.
    """
    patience = patience or Patience()
    part = _Part(target, url, sha256, size)
    failures, farthest = 0, part.bytes()
    while not patience.stop.is_set():
        try:
            if not part.complete():
                _receive(part, patience)
            return part.finish()
        except _TemporaryError as error:
            failures = 1 if part.bytes() > farthest else failures + 1
            farthest = max(farthest, part.bytes())
            if failures >= patience.tries:
                raise DownloadError(f"{error}; given up after {failures} tries in a row") from error
            pause = patience.pause * 2 ** (failures - 1)
            logger.warning("%s: %s; trying again in %g s", url, error, pause)
            patience.stop.wait(pause)
    raise DownloadError("stopped")


class _Part:
    """The bytes of a file that have arrived, and which version of the server's file they belong to."""

    def __init__(self, target: Path, url: str, sha256: str | None, size: int | None) -> None:
        self.target, self.url, self.sha256, self.size = target, url, sha256, size
        self.path = target.with_name(f"{target.name}.part")
        self.notes = target.with_name(f"{target.name}.part.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        self.version = self._read_notes()
        self.in_one_piece = not self.bytes()

    def _read_notes(self) -> dict:
        try:
            content = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self) -> str | None:
        """What identifies the version on this server; what another server said is no help."""
        return self.version.get("validator") if self.version.get("url") == self.url else None

    def resumable(self) -> bool:
        """Whether it can be proved that further bytes belong to the same version."""
        return self.bytes() > 0 and bool(self.sha256 or self.validator())

    def complete(self) -> bool:
        return self.resumable() and self.bytes() == self.version.get("size")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.version, self.in_one_piece = {}, True

    def begin(self, validator: str | None, size: int | None) -> None:
        """Start from the first byte of this version."""
        self.discard()
        self.version = {"url": self.url, "validator": validator, "size": size}
        write_json(self.notes, self.version)

    def finish(self) -> str:
        """Verify the whole and give it its name. A wrong one that was put together of pieces is worth another try."""
        received, found = self.bytes(), sha256_file(self.path)
        kind = DownloadError if self.in_one_piece else _TemporaryError
        if self.size is not None and received != self.size:
            self.discard()
            raise kind(f"it has {received} bytes, expected {self.size}; discarded")
        if self.sha256 and found != self.sha256:
            self.discard()
            raise kind(f"its SHA-256 is {found}, expected {self.sha256}; discarded")
        os.replace(self.path, self.target)
        self.notes.unlink(missing_ok=True)
        return found


def _receive(part: _Part, patience: Patience) -> None:
    """Ask for the missing bytes and append them to the part. Raises DownloadError."""
    if not part.resumable():
        part.discard()
    have, validator = part.bytes(), part.validator()
    headers = {"User-Agent": f"maskmill/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    try:
        with requests.get(part.url, headers=headers, stream=True, timeout=patience.timeout) as response:
            total = _check_answer(response, part)
            _append(response, part, total, patience.stop)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema) as e:
        raise DownloadError(f"it is no address of a file on the web: {e}") from e
    except requests.TooManyRedirects as error:
        raise DownloadError("it only leads from one redirection to the next") from error
    except (requests.RequestException, HTTPError) as error:
        raise _TemporaryError(f"the connection failed with {part.bytes()} bytes received: {_reason(error)}") from error


def _check_answer(response: requests.Response, part: _Part) -> int | None:
    """Size of the whole file, None if the server does not say; the part is emptied where it does not fit the answer."""
    status = response.status_code
    if status == 416:
        part.discard()
        raise _TemporaryError("the server has fewer bytes than were received; starting afresh")
    if status not in (200, 206):
        kind = _TemporaryError if status in TEMPORARY else DownloadError
        raise kind(f"the server answered {status} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html") and part.target.suffix != ".html":
        raise DownloadError("the server answered with a web page instead of the file")
    if status == 206:
        total = _check_range(response, part)
        part.in_one_piece = False
    else:
        total = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        part.begin(_validator(response), total)
    if part.size is not None and total is not None and total != part.size:
        part.discard()
        raise DownloadError(f"it has {total} bytes, expected {part.size}")
    return total


def _check_range(response: requests.Response, part: _Part) -> int | None:
    """Size of the whole file of which the rest is delivered; the part is emptied where it is another file's rest."""
    sent, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    whole = int(total) if total.isdecimal() else None
    known = part.version.get("size")
    changed = part.validator() and _validator(response) not in (None, part.validator())
    if sent.partition("-")[0] != str(part.bytes()) or changed or (known is not None and whole != known):
        part.discard()
        raise _TemporaryError("the file on the server has changed; starting afresh")
    return whole


def _validator(response: requests.Response) -> str | None:
    """A strong ETag or else the time of the last change; a weak ETag does not promise the same bytes."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _append(response: requests.Response, part: _Part, total: int | None, stop: threading.Event) -> None:
    megabytes = _write(response, part, stop)
    if total is not None:
        rest = ceil((total - part.bytes()) / MEGABYTE)
        megabytes = progress(megabytes, f"retrieving {part.target.name}, MiB", total=rest)
    for _ in megabytes:
        pass
    if total is not None and part.bytes() != total:
        raise _TemporaryError(f"cut off after {part.bytes()} of {total} bytes")


def _write(response: requests.Response, part: _Part, stop: threading.Event) -> Iterator[int]:
    """Append what arrives, unbuffered so that a killed process loses nothing; yields at every further megabyte."""
    received = 0
    with open(part.path, "ab", buffering=0) as file:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            if stop.is_set():
                raise DownloadError("stopped")
            file.write(chunk)
            received += len(chunk)
            if received // MEGABYTE > (received - len(chunk)) // MEGABYTE:
                yield received // MEGABYTE


def _reason(error: Exception) -> str:
    """The innermost reason in words, since the outer ones are wrapped in one another's names."""
    cause: BaseException = error
    while cause.args and isinstance(cause.args[-1], BaseException):
        cause = cause.args[-1]
    reason = getattr(cause, "reason", None)
    return str(reason if reason is not None else cause)

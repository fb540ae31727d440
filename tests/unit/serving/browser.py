"""`maskmill app` in a process of its own, and a headless Chromium that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

WIDE, PHONE = (1360, 1000), (390, 844)
"""Sizes of screens, in pixels."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 60


def find_browser() -> str | None:
    """A Chromium on this machine."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_app(bundle: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """The address of the page of a bundle, as long as the block lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "maskmill", "app", str(bundle), "--port", str(port), "--threads", "1", *options]
    root = Path(__file__).parents[3]
    app = subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", app)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(10)


def _wait_for(address: str, app: subprocess.Popen) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and app.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{address} does not answer")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser | BrowserContext, address: str, size: tuple[int, int] = WIDE) -> Page:
    """The page on a screen of this size, once its first picture is there."""
    page = browser.new_page()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.set_default_timeout(1000 * _PATIENCE)
    page.goto(address)
    page.get_by_role("button", name="Polygons (GeoJSON)").wait_for()
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until the page has been run to its end and shows what came of it."""
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
        " && !document.querySelector('[data-stale=true]')"
        " && [...document.images].every(image => image.complete)"
    )

"""`maskmill app`: a page in the browser where people hand in pictures and see their masks."""

import argparse
import importlib.util
import logging
import os
from pathlib import Path

from maskmill.errors import MaskmillError

LOCALHOST = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches; the first is the default."""

OPTIONS = {
    "server.headless": "true",  # opens no browser and asks for no e-mail address
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "200",  # megabytes
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "runner.magicEnabled": "false",
    "theme.primaryColor": "#0072b2",
}
"""Streamlit's options, which go before its own configuration files and environment variables."""

logger = logging.getLogger(__name__)


def add_app_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `app` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("app", help="show a page for trying the model", description=_run.__doc__)
    command.add_argument("bundle", type=Path, help="results/NAME/experiments/EXPERIMENT/bundle, or a copy of it")
    command.add_argument(
        "--host", default=LOCALHOST[0], help=f"address to listen at (default: {LOCALHOST[0]}, this machine)"
    )
    command.add_argument("--port", type=int, default=8501, help="port to listen at (default: 8501)")
    examples = "folder with pictures to try (default: drawn scenes, where the model is for such)"
    command.add_argument("--examples", type=Path, metavar="FOLDER", help=examples)
    command.add_argument("--threads", type=int, help="compute threads (default: all cores; the masks are the same)")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Show a page in the browser where pictures are handed in, and their masks seen, judged and downloaded."""
    from maskmill.deployment.bundle import load_bundle
    from maskmill.serving.examples import read_examples
    from maskmill.serving.segmenter import Segmenter

    if importlib.util.find_spec("streamlit") is None:
        raise MaskmillError('the page takes Streamlit; install it with pip install "maskmill[app]"')
    threads = arguments.threads or os.cpu_count() or 1
    Segmenter.of_bundle(load_bundle(arguments.bundle), threads)
    if arguments.examples:
        read_examples(arguments.examples)
    if arguments.host not in LOCALHOST:
        logger.warning(
            "whoever reaches %s, port %d, can use the page: it asks for no password", arguments.host, arguments.port
        )
    _serve(arguments, threads)
    return 0


def _serve(arguments: argparse.Namespace, threads: int) -> None:
    """Let Streamlit show the page until it is stopped."""
    from streamlit.web import cli

    options = OPTIONS | {"server.address": arguments.host, "server.port": str(arguments.port)}
    given = [str(arguments.bundle.resolve()), str(threads)]
    given += [str(arguments.examples.resolve())] if arguments.examples else []
    script = Path(__file__).with_name("webapp.py")
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    cli.main(["run", str(script), *flags, "--", *given], standalone_mode=False)

"""`maskmill serve`: a bundle as an HTTP service, by gunicorn."""

import argparse
import logging
import math
import os
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.inference.artifacts import Artifact, add_artifact_options
from maskmill.serving.limits import DEFAULTS, Limits

logger = logging.getLogger(__name__)

TOKEN = "MASKMILL_TOKEN"
"""Environment variable with the token that clients have to send."""


def add_serve_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `serve` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("serve", help="answer with masks over HTTP", description=_run.__doc__)
    command.add_argument("bundle", type=Path, help="results/NAME/experiments/EXPERIMENT/bundle, or a copy of it")
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    command.add_argument("--port", type=int, default=8000, help="default: 8000")
    add_artifact_options(command)
    command.add_argument("--threads", type=int, help="compute threads of the network (default: all cores)")
    for name, meaning in _LIMITS.items():
        default = getattr(DEFAULTS, name)
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default:g})",
        )
    command.set_defaults(run=_run)


_LIMITS = {
    "megabytes": "largest upload",
    "megapixels": "largest picture, in million pixels",
    "at_once": "pictures in work at a time, which bounds memory",
    "waiting": "pictures that may be on their way or wait; more are answered 429",
    "upload_seconds": "seconds for a request to arrive",
    "seconds": "seconds for a picture, waiting included",
}
"""What is said of each of the `Limits`."""


def _run(arguments: argparse.Namespace) -> int:
    """Answer `POST /predict` with the mask of the picture sent, at http://HOST:PORT, where a page says what there is.

    The masks are those of `maskmill predict`, byte for byte. A token in the environment variable MASKMILL_TOKEN has to
    be sent by clients. SIGTERM ends it once the pictures in work are answered, Ctrl-C at once.
    """
    limits = _limits(arguments)
    threads = arguments.threads or os.cpu_count() or 1
    token = os.environ.get(TOKEN, "").strip() or None
    try:
        from maskmill.serving.api import create_app
        from maskmill.serving.server import serve
    except ModuleNotFoundError as error:
        raise MaskmillError(f'the service needs {error.name}; run: pip install "maskmill[serve]"') from error
    from maskmill.deployment.bundle import load_bundle

    artifact = Artifact(arguments.runtime, arguments.precision)
    bundle = load_bundle(arguments.bundle)
    bundle.require(artifact)
    artifact.require_installed()
    if arguments.host not in ("127.0.0.1", "localhost", "::1") and token is None:
        logger.warning("whoever reaches %s can use the service; set %s to ask for a token", arguments.host, TOKEN)
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    serve(
        lambda: create_app(bundle, limits, threads, token, artifact),
        f"{host}:{arguments.port}",
        limits,
    )
    return 0


def _limits(arguments: argparse.Namespace) -> Limits:
    given = {name: getattr(arguments, name) for name in _LIMITS}
    wrong = [f"--{name.replace('_', '-')} is {value}" for name, value in given.items()
             if not 0 < value < math.inf and not (name == "waiting" and value == 0)]  # fmt: skip
    if wrong:
        raise MaskmillError(f"{', '.join(wrong)}; give numbers above 0")
    return Limits(**given)

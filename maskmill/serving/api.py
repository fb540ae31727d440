"""The HTTP service of a bundle: a Flask application whose masks are those of `maskmill predict`, byte for byte."""

import hmac
import logging
import re
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flask import Flask, Response, g, jsonify, render_template, request, send_file
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, Unauthorized, UnprocessableEntity

from maskmill import __version__
from maskmill.deployment.bundle import Bundle, read_card
from maskmill.errors import MaskmillError
from maskmill.imaging.volumes import forget_stack
from maskmill.inference.artifacts import EXACT, Artifact
from maskmill.inference.runtimes import OnnxRuntime, Runtime
from maskmill.serving.admission import Admission, Deadline, too_late
from maskmill.serving.answers import Wish, make_answer
from maskmill.serving.batching import BatchingRuntime
from maskmill.serving.limits import DEFAULTS, Limits
from maskmill.serving.openapi import describe_service
from maskmill.serving.telemetry import Telemetry
from maskmill.serving.uploads import require_size, store_upload, unreadable

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPEN = ("health", "ready", "page", "openapi")
"""What is answered without a token: nothing about the model."""


@dataclass(frozen=True)
class Service:
    """What all requests share. card: what bundle.json says; model_digest: SHA-256 of the file that runs."""

    bundle: Bundle
    card: dict
    model_digest: str
    runtime: BatchingRuntime
    limits: Limits
    admission: Admission
    telemetry: Telemetry


def create_app(
    bundle: Bundle, limits: Limits = DEFAULTS, threads: int = 1, token: str | None = None, artifact: Artifact = EXACT
) -> Flask:
    """The WSGI application of a bundle, ready to answer: the model is loaded and has seen a tile.

    threads: compute threads of the network. artifact: what runs it. token: what clients have to send as
    `Authorization: Bearer`, except for what is _OPEN; None for no such thing. Raises MaskmillError as `Bundle.open`.
    """
    opened = bundle.open(threads, artifact)
    runtime = BatchingRuntime(opened, _most_tiles(bundle, artifact, opened))
    _warm_up(bundle, runtime)
    card = read_card(bundle.folder)
    service = Service(
        bundle, card, card["files"][artifact.file], runtime, limits, Admission(limits), Telemetry(runtime)
    )
    app = Flask("maskmill", static_folder=None)
    app.jinja_env.autoescape = True
    app.json.sort_keys = False
    app.config["MAX_CONTENT_LENGTH"] = int(limits.megabytes * 1e6)
    app.config["MAX_FORM_PARTS"] = 16
    app.extensions["maskmill"] = service
    _add_rules(app, service, token)
    return app


def _most_tiles(bundle: Bundle, artifact: Artifact, runtime: Runtime) -> int:
    """How many tiles of several requests go together at most: engines are built for so many as a request's own.

    1, for none, on a processor, where a batch takes as long as its tiles alone, and those who wait for it together
    leave other cores idle meanwhile. 1 of networks that exit early: no trial shows that their answers stay the same.
    Where a gate's last bits change with the batch, noise shows it only on the verge of an exit, and what is behind
    other exits not at all. Nor would it pay: all tiles of a batch go as deep as the one that goes deepest.
    """
    on_gpu = artifact.runtime == "tensorrt" or (isinstance(runtime, OnnxRuntime) and runtime.on_gpu)
    if bundle.exits_early or not on_gpu:
        return 1
    batch_size = bundle.recipe.tiling.batch_size
    return batch_size if artifact.runtime == "tensorrt" else max(8, batch_size)


def _warm_up(bundle: Bundle, runtime: Runtime) -> None:
    recipe = bundle.recipe
    sides = [min(4 * step, side) for step, side in zip(recipe.stride, recipe.tiling.tile, strict=True)]
    shape = sides[-recipe.dimensions :]  # no more than a tile, which is the most that an engine takes
    runtime(np.zeros((1, recipe.preprocessing.channels, *shape), np.float32))


def _add_rules(app: Flask, service: Service, token: str | None) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        g.began = time.perf_counter()
        if token and request.endpoint not in _OPEN:
            _require_token(token)

    @app.after_request
    def finish(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        response.headers["X-Request-ID"] = g.request_id
        if not token or (request.endpoint not in _OPEN and response.status_code != 401):
            response.headers["X-Model-Digest"] = service.model_digest
            response.headers["X-Run-ID"] = service.bundle.run_id
        steps = [f"{name};dur={1000 * duration:.1f}" for name, duration in g.get("steps", {}).items()]
        response.headers["Server-Timing"] = ", ".join([*steps, f"total;dur={1000 * seconds:.1f}"])
        service.telemetry.count(request.endpoint or "unknown", response.status_code, seconds)
        return response

    @app.errorhandler(HTTPException)
    def explain(error: HTTPException) -> Response:
        return _problem(error)

    @app.errorhandler(Exception)
    def confess(error: Exception) -> Response:
        logger.exception("request %s failed", g.request_id)
        return _problem(HTTPException("the service failed; its log says why, under the request id"), 500)

    @app.post("/predict")
    def predict() -> Response:
        return _predict(service)

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @app.get("/ready")
    def ready() -> tuple[Response, int]:
        able = service.runtime.alive
        return jsonify(status="ready" if able else "the network does not answer; restart"), 200 if able else 503

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(service.telemetry.text(), content_type=service.telemetry.content_type)

    @app.get("/model")
    def model() -> Response:
        return jsonify(service.card)

    @app.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(describe_service(service.limits, bool(token)))

    @app.get("/")
    def page() -> str:
        document, card = describe_service(service.limits, bool(token)), None if token else service.card
        return render_template("service.html.jinja", document=document, card=card, version=__version__)


def _require_token(token: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode("latin-1", "replace"), token.encode()):
        raise Unauthorized("send the service's token as `Authorization: Bearer TOKEN`")


def _predict(service: Service) -> Response:
    wish = Wish.read(request.args)
    with service.admission.place(), tempfile.TemporaryDirectory(prefix="maskmill-") as folder, ExitStack() as leaving:
        file = store_upload(_upload(service.limits), Path(folder))
        leaving.callback(forget_stack, file)
        uploaded, deadline = time.perf_counter(), Deadline(service.limits.seconds)
        with service.admission.turn(deadline):
            began = time.perf_counter()
            require_size(file, service.limits.megapixels)
            try:
                answer = make_answer(service.bundle.recipe, _until(deadline, service.runtime), file, wish)
            except MaskmillError as error:
                raise unreadable(error, file) from error
            done = time.perf_counter()
        g.steps = {"upload": uploaded - g.began, "wait": began - uploaded, "predict": done - began}
        response = send_file(answer.file.open("rb"), answer.media_type, download_name=answer.file.name)
        response.content_length = answer.file.stat().st_size
        if answer.warning:
            response.headers["X-Warning"] = answer.warning
    return response


def _upload(limits: Limits) -> FileStorage:
    """The picture's part of the request, read to its end. Raises as the limits have it."""
    try:
        upload = request.files.get("image")
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(
            f"the upload has more than {limits.megabytes:g} MB, or brings much beside a picture; send less, or have "
            "the service started with a larger --megabytes"
        ) from error
    if upload is None:
        raise UnprocessableEntity(
            "no picture has come; send it as a file called `image`, in a body of multipart/form-data that is complete"
        )
    return upload


def _until(deadline: Deadline, runtime: Runtime) -> Runtime:
    """The runtime for as long as there is time, after which it raises."""

    def timed(batch: np.ndarray) -> np.ndarray:
        if not deadline.left:
            raise too_late(deadline)
        return runtime(batch)

    return timed


def _problem(error: HTTPException, status: int | None = None) -> Response:
    """An error as RFC 9457 has it, with the headers that belong to its status."""
    status = status or error.code or 500
    title = HTTPException.name.fget(error) if error.code else "Internal Server Error"
    content = {"type": "about:blank", "title": title, "status": status, "detail": error.description}
    response = jsonify(content | {"request_id": g.get("request_id")})
    response.status_code, response.content_type = status, "application/problem+json"
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response

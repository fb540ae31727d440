"""The service's description of itself, OpenAPI 3.1."""

from typing import Any

from maskmill import __version__
from maskmill.serving.answers import FORMATS
from maskmill.serving.limits import Limits
from maskmill.serving.uploads import KINDS

_HEADERS = {
    "X-Request-ID": "the client's own X-Request-ID, or one made up; it is in the log",
    "X-Model-Digest": "SHA-256 of the ONNX model",
    "X-Run-ID": "run that the model comes from",
    "Server-Timing": "milliseconds of upload, wait, predict and in total",
    "X-Warning": "only where the picture may be none that the model was trained for: why",
}


def describe_service(limits: Limits, token: bool) -> dict[str, Any]:
    """The OpenAPI document. token: whether requests have to bring one."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Maskmill", "version": __version__, "description": "Masks of pictures by one model."},
        "paths": {
            "/predict": {"post": _predict(limits)},
            "/health": {"get": _simple("health", "Whether the process runs", open_=True)},
            "/ready": {"get": _simple("ready", "Whether pictures are taken", open_=True) | _not_ready()},
            "/metrics": {"get": _simple("metrics", "Figures for Prometheus", "text/plain")},
            "/model": {"get": _simple("model", "The model's card: classes, preprocessing, metrics, provenance")},
            "/openapi.json": {"get": _simple("openapi", "This document", open_=True)},
            "/": {"get": _simple("page", "The same for people", "text/html", open_=True)},
        },
        "components": {"schemas": {"Problem": _PROBLEM}},
    }
    if token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for methods in document["paths"].values():
            for operation in methods.values():
                if "security" not in operation:
                    operation["responses"]["401"] = _problem("The token is missing or another.")
    return document


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and what to do"},
        "request_id": {"type": ["string", "null"]},
    },
}


def _predict(limits: Limits) -> dict[str, Any]:
    binary = {"type": "string", "contentEncoding": "binary"}
    types = ("image/png", "image/tiff", "application/gzip", "application/octet-stream", "application/geo+json")
    content = {media_type: {} for media_type in types} | {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": "predict",
        "summary": "The mask of a picture",
        "description": f"Takes {KINDS}, told by the bytes; the mask is that of `maskmill predict`, byte for byte.",
        "parameters": [
            {
                "name": "format",
                "in": "query",
                "description": "; ".join(f"`{name}`: {meaning}" for name, meaning in FORMATS.items()),
                "schema": {"type": "string", "enum": list(FORMATS), "default": "mask"},
            },
            {
                "name": "probabilities",
                "in": "query",
                "description": "with npy: 255-fold probabilities instead, uint8 (class, depth, row, column)",
                "schema": {"type": "boolean", "default": False},
            },
            {
                "name": "tolerance",
                "in": "query",
                "description": "with geojson: how far outlines may lie from those of the mask, in pixels",
                "schema": {"type": "number", "minimum": 0, "default": 1},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"type": "object", "required": ["image"], "properties": {"image": binary}}
                }
            },
        },
        "responses": {
            "200": {
                "description": "The mask.",
                "headers": {
                    name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in _HEADERS.items()
                },
                "content": content,
            },
            "400": _problem("The request cannot be read."),
            "408": _problem(f"The upload took longer than {limits.upload_seconds:g} seconds."),
            "413": _problem(f"More than {limits.megabytes:g} MB, or {limits.megapixels:g} million pixels."),
            "415": _problem("The upload is no picture of a kind that is read."),
            "422": _problem("The picture is damaged or of no use to the network, or a parameter is wrong."),
            "429": _problem("Too many pictures wait; `Retry-After` says when to come again."),
            "503": _problem(f"The picture was not done in {limits.seconds:g} seconds."),
        },
    }


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _simple(name: str, summary: str, media_type: str = "application/json", open_: bool = False) -> dict[str, Any]:
    operation = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": f"{summary}.", "content": {media_type: {}}}},
    }
    return operation | ({"security": []} if open_ else {})


def _not_ready() -> dict[str, Any]:
    ready = _simple("ready", "Whether pictures are taken", open_=True)
    return {"responses": ready["responses"] | {"503": {"description": "Not yet, or no more."}}}

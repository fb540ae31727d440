"""MLflow's model registry: a packed bundle as a version of a registered model, loadable by name and version."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import maskmill
from maskmill.deployment import pyfunc
from maskmill.deployment.bundle import load_bundle
from maskmill.errors import MaskmillError
from maskmill.files import read_json, sha256_file, write_json
from maskmill.tracking.store import (
    connect,
    explain,
    find_experiment,
    patient_requests,
    public_uri,
    store_lock,
    store_uri,
)

logger = logging.getLogger(__name__)

REQUIREMENTS = (
    "filelock", "mlflow", "nibabel", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "pydicom", "pyogrio",
    "rasterio", "scikit-image", "scipy", "shapely", "tifffile", "tqdm",
)  # fmt: skip
"""Packages that a registered model needs beside the code it brings along; their versions here are recorded with it."""


def register_bundle(bundle: Path, model: str, experiment: str, uri: str, output: Path) -> None:
    """Register a bundle as the next version of `model`, unless a version of it has the same digest.

    experiment: MLflow experiment of its training. The version carries code and bundle, and as tags the run ids, the
    digest of bundle.json, which holds those of all other files, and the test metrics. Writes model, version and digest.
    Raises MaskmillError where the bundle is damaged or MLflow fails.
    """
    load_bundle(bundle)
    digest, uri = sha256_file(bundle / "bundle.json"), store_uri(uri)
    try:
        client = connect(uri)
        with store_lock(uri, "registry"):
            number = _find_version(client, model, digest)
            if number is None:
                number = _create_version(client, bundle, model, digest, find_experiment(client, uri, experiment))
    except MaskmillError:
        raise
    except Exception as error:
        raise MaskmillError(
            f"MLflow at {public_uri(uri)} did not register {bundle} as {model}: {explain(error, uri)}. Run the same "
            "command again when it answers; a store before MLflow 3 cannot"
        ) from error
    logger.info("MLflow at %s has %s as models:/%s/%s", public_uri(uri), bundle, model, number)
    write_json(output, {"model": model, "version": number, "bundle_digest": digest})


def _find_version(client: Any, model: str, digest: str) -> str | None:
    """The version of a model with this digest; None where there is none."""
    found = client.search_model_versions(f"name = '{model}' and tag.bundle_digest = '{digest}'")
    return next((str(one.version) for one in found if one.status == "READY"), None)


def _create_version(client: Any, bundle: Path, model: str, digest: str, experiment: str) -> str:
    card = read_json(bundle / "bundle.json")
    run = _training(client, experiment, [member["run_id"] for member in card["members"]])
    tags = describe_bundle(card, digest)
    logged = client.create_logged_model(experiment, model, source_run_id=run, tags=tags, model_type="segmentation")
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save_model(Path(folder, "model"), bundle, logged)
            with patient_requests():
                client.log_model_artifacts(logged.model_id, str(Path(folder, "model")))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    _require_model(client, model)
    with _store_of_process(client.tracking_uri):
        source = f"models:/{logged.model_id}"
        made = client.create_model_version(model, source, run, tags=tags, model_id=logged.model_id)
    return str(made.version)


@contextmanager
def _store_of_process(uri: str) -> Iterator[None]:
    """Let MLflow look up models in this store, which for some it does in that of the whole process alone."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")  # which MLflow keeps equal to what was set
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def describe_bundle(card: dict[str, Any], digest: str) -> dict[str, str]:
    """Tags of a version: what it is of, and the means of the test metrics over classes."""
    means = card["metrics"].get("mean", {})
    return {
        "bundle_digest": digest,
        "run_id": card["run_id"],
        "members": ", ".join(f"{member['member']} ({member['run_id']})" for member in card["members"]),
        "classes": ", ".join(one["name"] for one in card["recipe"]["classes"]),
        **{
            f"test/{name}": f"{interval['mean']:.4f}"
            for name, interval in means.items()
            if interval["mean"] is not None
        },
    }


def _training(client: Any, experiment: str, run_ids: list[str]) -> str | None:
    """The MLflow run of the first of these trainings that MLflow has."""
    for run_id in run_ids:
        found = client.search_runs([experiment], f"tags.run_id = '{run_id}'", max_results=1)
        if found:
            return found[0].info.run_id
    return None


def _save_model(folder: Path, bundle: Path, logged: Any) -> None:
    """Write MLflow's folder of the model: MLmodel, code, the bundle, requirements."""
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    mlflow.pyfunc.save_model(
        folder,
        loader_module=pyfunc.__name__,
        data_path=str(bundle),
        code_paths=[str(Path(maskmill.__file__).parent)],
        mlflow_model=Model(model_uuid=logged.model_id, model_id=logged.model_id, run_id=logged.source_run_id),
        signature=ModelSignature(
            Schema([ColSpec("binary", pyfunc.IMAGE)]),
            Schema([ColSpec("binary", pyfunc.MASK), ColSpec("string", pyfunc.SUFFIX)]),
        ),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )


def _require_model(client: Any, model: str) -> None:
    """Create the registered model where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

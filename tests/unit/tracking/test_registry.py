"""A bundle in MLflow's model registry: loaded by name and version, it gives the bytes of `maskmill predict`."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pandas
import pytest
from filelock import Timeout
from PIL import Image

from maskmill.cli import main
from maskmill.deployment.pyfunc import BundleModel
from maskmill.errors import MaskmillError
from maskmill.files import read_json, sha256_file, write_json
from maskmill.tracking import registry
from maskmill.tracking.registry import REQUIREMENTS, register_bundle
from maskmill.tracking.store import connect, store_lock
from tests.unit.tracking.server import Server
from tests.unit.tracking.tracking_data import DEAD

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning"
)


def register(bundle, uri, output, model="roofs-baseline"):
    register_bundle(bundle, model, "roofs", uri, output)
    return read_json(output)


def versions(uri, model="roofs-baseline"):
    return sorted(connect(uri).search_model_versions(f"name = '{model}'"), key=lambda one: int(one.version))


@pytest.fixture
def expected(packed_bundle, tmp_path):
    """The bytes that `maskmill predict` makes of the pictures a and b."""
    pictures = [str(packed_bundle.parent / f"{name}.png") for name in "ab"]
    assert main(["predict", str(packed_bundle), *pictures, "-o", str(tmp_path / "expected")]) == 0
    return [(tmp_path / f"expected/{name}.png").read_bytes() for name in "ab"]


def load(uri, name):
    """What MLflow loads by a name from a store."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        return mlflow.pyfunc.load_model(name)
    finally:
        mlflow.set_tracking_uri(None)


def pictures_of(bundle):
    return [(bundle.parent / f"{name}.png").read_bytes() for name in "ab"]


def test_a_registered_bundle_says_what_it_is_and_gives_the_same_masks(packed_bundle, store, tmp_path, expected):
    client = connect(store)
    experiment = client.create_experiment("roofs", artifact_location=(tmp_path / "mlruns").as_uri())
    run = client.create_run(experiment, tags={"run_id": "0123456789ab"}).info.run_id

    marker = register(packed_bundle, store, tmp_path / "registered.json")

    digest = sha256_file(packed_bundle / "bundle.json")
    assert marker == {"model": "roofs-baseline", "version": "1", "bundle_digest": digest}
    (made,) = versions(store)
    assert made.run_id == run
    assert made.tags == {
        "bundle_digest": digest,
        "run_id": "0123456789ab",
        "members": "fold0-seed0 (0123456789ab)",
        "classes": "roof, road",
        "test/iou": "0.5000",
    }
    assert "MLFLOW_TRACKING_URI" not in os.environ
    model = load(store, "models:/roofs-baseline/1")
    found = model.predict(pandas.DataFrame({"image": pictures_of(packed_bundle)}))
    assert found["mask"].tolist() == expected
    assert found["suffix"].tolist() == [".png", ".png"]
    files = [file for file in (tmp_path / "mlruns").rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in (".pkl", ".pickle", ".pyc", ".pt", ".pth")]
    (described,) = [file for file in files if file.name == "MLmodel"]
    assert "loader_module: maskmill.deployment.pyfunc" in described.read_text(encoding="utf-8")


def test_the_same_bundle_makes_no_second_version_and_another_does(packed_bundle, store, tmp_path):
    first = register(packed_bundle, store, tmp_path / "first.json")
    again = register(shutil.copytree(packed_bundle, tmp_path / "copy"), store, tmp_path / "again.json")
    shutil.copytree(packed_bundle, tmp_path / "other")
    card = read_json(packed_bundle / "bundle.json")
    write_json(tmp_path / "other/bundle.json", card | {"run_id": "ba9876543210"})
    other = register(tmp_path / "other", store, tmp_path / "other.json")
    elsewhere = register(packed_bundle, store, tmp_path / "elsewhere.json", "roofs-cbam")

    assert first == again
    assert [str(one.version) for one in versions(store)] == ["1", other["version"]] == ["1", "2"]
    assert elsewhere["version"] == "1"


def test_a_damaged_bundle_and_a_dead_server_register_nothing(packed_bundle, store, tmp_path):
    shutil.copytree(packed_bundle, tmp_path / "damaged")
    with open(tmp_path / "damaged/model.onnx", "ab") as file:
        file.write(b"x")

    with pytest.raises(MaskmillError, match=r"is damaged: model\.onnx"):
        register(tmp_path / "damaged", store, tmp_path / "registered.json")
    with pytest.raises(MaskmillError, match=r"did not register .*bundle as roofs-baseline.*Run the same command again"):
        register(packed_bundle, DEAD, tmp_path / "registered.json")

    assert versions(store) == []
    assert not (tmp_path / "registered.json").exists()


def test_a_version_whose_files_were_not_stored_does_not_exist(packed_bundle, store, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_model_artifacts", full)
        with pytest.raises(MaskmillError, match="No space left on device"):
            register(packed_bundle, store, tmp_path / "registered.json")
    assert versions(store) == []

    assert register(packed_bundle, store, tmp_path / "registered.json")["version"] == "1"


def test_one_process_at_a_time_looks_for_a_version_and_makes_it(packed_bundle, store, tmp_path, monkeypatch):
    looked, find = [], registry._find_version

    def find_version(*arguments):
        with pytest.raises(Timeout):
            store_lock(store, "registry").acquire(timeout=0)
        looked.append(True)
        return find(*arguments)

    monkeypatch.setattr(registry, "_find_version", find_version)

    assert register(packed_bundle, store, tmp_path / "registered.json")["version"] == "1"
    assert looked


def test_pictures_that_cannot_be_segmented_are_named_by_row(packed_bundle):
    good, _ = pictures_of(packed_bundle)

    with pytest.raises(MaskmillError, match="1 of 2 pictures have no mask; row 1: it is no picture of a kind"):
        BundleModel(packed_bundle).predict(pandas.DataFrame({"image": [good, b"no picture"]}))


def test_the_mask_of_a_geotiff_is_a_geotiff(packed_bundle, tmp_path):
    import rasterio

    pixels = Image.open(packed_bundle.parent / "a.png")
    Image.new("RGB", pixels.size).save(tmp_path / "plain.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": 70, "height": 50, "crs": "EPSG:32632"}
    with rasterio.open(
        tmp_path / "a.tif", "w", transform=rasterio.Affine(0.5, 0, 6e5, 0, -0.5, 5e6), **profile
    ) as file:
        file.write(rasterio.open(packed_bundle.parent / "a.png").read())
    main(["predict", str(packed_bundle), str(tmp_path / "a.tif"), "-o", str(tmp_path / "expected")])

    contents = [(tmp_path / name).read_bytes() for name in ("a.tif", "plain.tif")]
    found = BundleModel(packed_bundle).predict(pandas.DataFrame({"image": contents}))

    assert found["suffix"].tolist() == [".tif", ".png"]
    assert found["mask"][0] == (tmp_path / "expected/a.tif").read_bytes()


def test_what_is_recorded_as_needed_is_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}

    assert set(REQUIREMENTS) == declared | {"mlflow"}


@pytest.mark.slow
def test_mlflow_serves_what_is_registered_at_a_server_with_its_own_code(packed_bundle, empty_store, tmp_path, expected):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    server = Server(tmp_path, tmp_path / "mlflow.db")
    server.start()
    try:
        register(packed_bundle, server.uri, tmp_path / "registered.json")
        assert register(packed_bundle, server.uri, tmp_path / "again.json")["version"] == "1"
        predictions = serve(server.uri, tmp_path, pictures_of(packed_bundle))
    finally:
        server.kill()

    assert [base64.b64decode(one["mask"]) for one in predictions] == expected
    assert [one["suffix"] for one in predictions] == [".png", ".png"]


def serve(uri, folder, pictures):
    """What `mlflow models serve` answers to these pictures, in a folder without the package."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/roofs-baseline/1",
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    (folder / "served").mkdir()
    with open(folder / "served.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder / "served", env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process, folder / "served.log")
        images = [base64.b64encode(content).decode() for content in pictures]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_split": {"columns": ["image"], "data": [[image] for image in images]}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["predictions"]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(address, process, log):
    """Wait until a server answers."""
    end = time.monotonic() + 180
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, f"the server does not answer\n{log.read_text()}"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)

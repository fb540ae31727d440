"""The service: masks byte for byte those of `maskmill predict`, and a reason for everything that it refuses."""

import gzip
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from maskmill.cli import main
from maskmill.deployment.bundle import load_bundle
from maskmill.errors import MaskmillError
from maskmill.files import read_json, sha256_file
from maskmill.imaging import volumes
from maskmill.inference.artifacts import Artifact
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.serving.answers import FORMATS
from maskmill.serving.api import create_app
from maskmill.serving.limits import Limits
from tests.unit.volume_data import write_nifti

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::PendingDeprecationWarning"
)


@pytest.fixture(scope="module")
def client(bundle):
    return create_app(load_bundle(bundle)).test_client()


def send(client, content, query="", name="whatever", **options):
    data = {"image": (io.BytesIO(content), name)}
    return client.post(f"/predict{query}", data=data, content_type="multipart/form-data", **options)


def predicted(bundle, picture, output):
    """Bytes of the mask that `maskmill predict` writes."""
    assert main(["predict", str(bundle), str(picture), "-o", str(output)]) == 0
    return next(output.iterdir()).read_bytes()


def values_of(content):
    """Values of a palette PNG (H, W)."""
    return np.asarray(Image.open(io.BytesIO(content)))


def png(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", **options)
    return buffer.getvalue()


def test_masks_are_those_of_predict(client, bundle, picture, tmp_path):
    answer = send(client, picture.read_bytes())

    assert (answer.status_code, answer.content_type) == (200, "image/png")
    assert answer.data == predicted(bundle, picture, tmp_path)
    assert answer.headers["Content-Disposition"] == "inline; filename=mask.png"
    assert send(client, picture.read_bytes(), "?format=png").data == answer.data


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "bmp", "webp"])
def test_kinds_are_told_by_the_bytes(client, bundle, kind, tmp_path):
    pixels = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8))
    file = tmp_path / f"picture.{kind.replace('jpeg', 'jpg').replace('tiff', 'tif')}"
    pixels.save(file)

    answer = send(client, file.read_bytes(), name="wrong.png")

    assert answer.data == predicted(bundle, file, tmp_path / "masks")


def test_arrays_are_pictures_and_nothing_is_unpickled(client, bundle, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    np.save(tmp_path / "picture.npy", pixels)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    objects = io.BytesIO()
    np.save(objects, np.array([[object]]), allow_pickle=True)

    answer = send(client, (tmp_path / "picture.npy").read_bytes())
    refused = send(client, objects.getvalue())

    assert answer.data == predicted(bundle, tmp_path / "picture.png", tmp_path / "masks")
    assert refused.status_code == 422
    assert "Python objects, which are never loaded" in refused.json["detail"]


def test_many_at_once_get_the_same_bytes_as_alone(bundle, tmp_path):
    client = create_app(load_bundle(bundle), Limits(at_once=6)).test_client()
    rng = np.random.default_rng(0)
    pictures = [png(rng.integers(0, 256, (30 + 3 * n, 64, 3), np.uint8)) for n in range(12)]
    alone = []
    for number, content in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(content)
        alone.append(predicted(bundle, tmp_path / f"{number}.png", tmp_path / f"masks{number}"))

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda content: send(client, content).data, pictures * 3))

    assert together == alone * 3


def test_the_network_gives_the_same_bytes_in_batches_of_any_size(bundle):
    runtime = OnnxRuntime(load_bundle(bundle).onnx, 2)
    tiles = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    alone = np.concatenate([runtime(tile[np.newaxis]) for tile in tiles])

    for size in (2, 3, 8):
        parts = [runtime(tiles[first : first + size]) for first in range(0, 8, size)]
        np.testing.assert_array_equal(np.concatenate(parts), alone)


def test_another_pixel_type_than_that_of_the_training_pictures_is_refused(
    client, bundle, deep_picture, tmp_path, capsys
):
    for query in ("", "?format=json", "?format=npy&probabilities"):
        answer = send(client, deep_picture.read_bytes(), query)
        assert answer.status_code == 422
        assert "it holds uint16 values, but the model was trained on uint8 ones" in answer.get_json()["detail"]

    assert main(["predict", str(bundle), str(deep_picture), "-o", str(tmp_path)]) == 1
    assert "deep.tif: it holds uint16 values, but the model was trained on uint8 ones" in capsys.readouterr().err


def test_what_is_doubted_is_said_in_every_answer(client, old_bundle, picture, deep_picture):
    old = create_app(load_bundle(old_bundle)).test_client()

    for query in ("", "?format=png", "?format=npy", "?format=npy&probabilities", "?format=geojson", "?format=json"):
        answer = send(old, deep_picture.read_bytes(), query)
        assert answer.status_code == 200
        assert "all values above 255 are white" in answer.headers["X-Warning"]
    assert answer.get_json()["warning"] == answer.headers["X-Warning"]
    answer = send(client, picture.read_bytes(), "?format=json")
    assert "X-Warning" not in answer.headers
    assert answer.get_json()["warning"] is None


def test_what_has_not_passed_the_gate_is_not_served(bundle):
    with pytest.raises(MaskmillError, match="has not been compared with its trained model in OpenVINO BF16"):
        create_app(load_bundle(bundle), artifact=Artifact("openvino", "bf16"))


def test_arrays_areas_and_outlines(client, picture):
    mask = values_of(send(client, picture.read_bytes()).data)
    array = np.load(io.BytesIO(send(client, picture.read_bytes(), "?format=npy").data))
    levels = np.load(io.BytesIO(send(client, picture.read_bytes(), "?format=npy&probabilities").data))
    areas = send(client, picture.read_bytes(), "?format=json").get_json()
    outlines = send(client, picture.read_bytes(), "?format=geojson&tolerance=0").get_json()

    np.testing.assert_array_equal(array, mask)
    assert (levels.shape, levels.dtype) == ((2, 1, 70, 90), np.uint8)
    assert (areas["height"], areas["width"], areas["georeferenced"]) == (70, 90, False)
    assert [one["pixels"] for one in areas["classes"]] == np.bincount(mask.ravel(), minlength=3).tolist()
    assert [one["class"] for one in areas["classes"]] == ["background", "roof", "road"]
    assert {feature["properties"]["class"] for feature in outlines["features"]} == {"roof", "road"}


def test_pixels_without_data_are_of_no_class(client, tmp_path):
    import rasterio
    from rasterio.transform import from_origin

    pixels = np.random.default_rng(2).integers(1, 256, (3, 40, 50), np.uint8)
    pixels[:, :10, :20] = 0
    place = {"crs": "EPSG:25832", "transform": from_origin(500000, 5400000, 0.5, 0.5), "nodata": 0}
    file = tmp_path / "map.tif"
    with rasterio.open(file, "w", driver="GTiff", width=50, height=40, count=3, dtype="uint8", **place) as raster:
        raster.write(pixels)

    areas = send(client, file.read_bytes(), "?format=json").get_json()
    mask = np.load(io.BytesIO(send(client, file.read_bytes(), "?format=npy").data))

    assert areas["pixels_without_data"] == 200 == np.count_nonzero(mask == 255)
    assert [one["pixels"] for one in areas["classes"]] == np.bincount(mask[mask < 255], minlength=3).tolist()
    assert sum(one["share"] for one in areas["classes"]) == pytest.approx(1, abs=1e-5)


def test_pictures_on_the_map_come_back_there(client, bundle, tmp_path):
    import rasterio
    from rasterio.transform import from_origin

    file = tmp_path / "map.tif"
    pixels = np.random.default_rng(2).integers(0, 256, (3, 40, 50), np.uint8)
    place = {"crs": "EPSG:25832", "transform": from_origin(500000, 5400000, 0.5, 0.5)}
    with rasterio.open(file, "w", driver="GTiff", width=50, height=40, count=3, dtype="uint8", **place) as raster:
        raster.write(pixels)

    answer = send(client, file.read_bytes())

    assert answer.content_type == "image/tiff"
    assert answer.data == predicted(bundle, file, tmp_path / "masks")
    areas = send(client, file.read_bytes(), "?format=json").get_json()
    mask = np.load(io.BytesIO(send(client, file.read_bytes(), "?format=npy").data))
    plain = values_of(send(client, file.read_bytes(), "?format=png").data)
    assert areas["georeferenced"] is True
    np.testing.assert_array_equal(mask, plain)
    outlines = send(client, file.read_bytes(), "?format=geojson").get_json()
    places = [point for one in outlines["features"] for ring in one["geometry"]["coordinates"] for point in ring]
    assert min(places)[0] >= 500000


def test_volumes_slice_by_slice(tmp_path):
    from maskmill.export.onnx import export_onnx
    from tests.unit.export.test_parity import judge, pack
    from tests.unit.member import VOLUME_TILING, make_member

    member = make_member(tmp_path / "volumes", volumes=True, dimensions=3)
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder, tiling=VOLUME_TILING)
    pack(member, member.folder, VOLUME_TILING)
    bundle = member.folder / "bundle"
    client = create_app(load_bundle(bundle)).test_client()
    write_nifti(tmp_path / "v.nii", np.random.default_rng(0).integers(0, 256, (9, 22, 18), np.uint8))
    content = (tmp_path / "v.nii").read_bytes()

    whole = np.load(io.BytesIO(send(client, content, "?format=npy").data))
    levels = np.load(io.BytesIO(send(client, content, "?format=npy&probabilities=true").data))

    assert gzip.decompress(send(client, content).data) == gzip.decompress(
        predicted(bundle, tmp_path / "v.nii", tmp_path / "masks")
    )
    assert (whole.shape, levels.shape) == ((18, 22, 9), (2, 18, 22, 9))
    for form in ("png", "geojson"):
        assert "stack of slices" in send(client, content, f"?format={form}").get_json()["detail"]
    assert not any("maskmill-" in path for path, _ in volumes._OPEN)  # nothing stays of what was answered
    refused = send(client, png(np.zeros((20, 20), np.uint8)))
    assert (refused.status_code, "whole volumes" in refused.get_json()["detail"]) == (422, True)


# --- what is refused --------------------------------------------------------------------------------------------------


def broken_png():
    whole = png(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    return whole[: len(whole) // 2]


def bomb_png(side):
    """A square PNG file of many pixels in some hundred bytes."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "query", "status", "words"),
    [
        (b"", "", 422, "is empty"),
        (b"GIF89a" + b"\0" * 100, "", 415, "send PNG, JPEG, TIFF"),
        (b"%PDF-1.7" + b"\0" * 100, "", 415, "no picture of a kind that is read"),
        (broken_png(), "", 422, "it is damaged"),
        (b"\xff\xd8\xff" + b"\0" * 100, "", 422, "cannot be segmented"),
        (b"\x1f\x8b" + b"\0" * 100, "", 422, "cannot be segmented"),
        (b"II*\0" + b"\xff" * 100, "", 422, "cannot be segmented"),
        (bomb_png(100_000), "", 413, "100000 × 100000 pixels, 10000.0 million"),
        (bomb_png(30_000), "", 413, "30000 × 30000 pixels, 900.0 million"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?format=gif", 422, "format is `gif`; give one of mask, png"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?form=png", 422, "unknown parameter `form`"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?probabilities=yes", 422, "ask for format=npy"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?probabilities=maybe&format=npy", 422, "give true or false"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?format=geojson&tolerance=-1", 422, "0 or more"),
        (png(np.zeros((8, 8, 3), np.uint8)), "?format=geojson&tolerance=nan", 422, "0 or more"),
    ],
)
def test_refused_with_a_reason(client, content, query, status, words):
    answer = send(client, content, query)
    problem = answer.get_json()

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert words in problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert "/tmp" not in problem["detail"]


def test_requests_that_bring_no_picture(client):
    answers = [
        client.post("/predict"),
        client.post("/predict", data=b"raw bytes", content_type="image/png"),
        client.post("/predict", data={"picture": (io.BytesIO(b"x"), "x.png")}, content_type="multipart/form-data"),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    assert all("called `image`" in answer.get_json()["detail"] for answer in answers)


def test_too_large_uploads_and_pictures(bundle, picture):
    client = create_app(load_bundle(bundle), Limits(megabytes=0.01, megapixels=0.004)).test_client()

    assert send(client, b"\x89PNG" + b"\0" * 20_000).status_code == 413
    answer = send(client, png(np.zeros((70, 90, 3), np.uint8)))
    assert answer.status_code == 413
    assert "90 × 70 pixels" in answer.get_json()["detail"]


def test_too_many_are_turned_away_and_the_others_answered(bundle, picture, monkeypatch):
    """Two places: the first request holds the network, the second waits, the third is told to come again."""
    app = create_app(load_bundle(bundle), Limits(at_once=1, waiting=1))
    service, held, go = app.extensions["maskmill"], Event(), Event()
    network = service.runtime._runtime

    def held_up(batch):
        held.set()
        assert go.wait(30)
        return network(batch)

    monkeypatch.setattr(service.runtime, "_runtime", held_up)
    content = picture.read_bytes()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, app.test_client(), content)
        assert held.wait(30)
        second = pool.submit(send, app.test_client(), content)
        while service.admission._places._value:
            pass
        third = send(app.test_client(), content)
        go.set()
        answers = [first.result(30), second.result(30)]

    assert third.status_code == 429
    assert third.headers["Retry-After"] == "1"
    assert [answer.status_code for answer in answers] == [200, 200]
    assert send(app.test_client(), content).status_code == 200


def test_what_is_not_done_in_time_is_given_up(bundle, picture):
    app = create_app(load_bundle(bundle), Limits(seconds=1e-6))

    answer = send(app.test_client(), picture.read_bytes())

    assert answer.status_code == 503
    assert "was not done in 1e-06 seconds" in answer.get_json()["detail"]


def test_errors_of_our_own_are_logged_and_not_shown(bundle, picture, monkeypatch, caplog):
    app = create_app(load_bundle(bundle))
    monkeypatch.setattr(app.extensions["maskmill"].runtime, "_runtime", lambda batch: 1 / 0)

    answer = send(app.test_client(), picture.read_bytes(), headers={"X-Request-ID": "mine-1"})

    assert answer.status_code == 500
    assert answer.get_json()["request_id"] == "mine-1"
    assert "ZeroDivisionError" not in answer.text
    assert "request mine-1 failed" in caplog.text


def test_a_token_is_asked_for_where_there_is_one(bundle, picture):
    client = create_app(load_bundle(bundle), token="sésame").test_client()
    content = picture.read_bytes()

    refused = [send(client, content), client.get("/model", headers={"Authorization": "Bearer other"})]

    assert [answer.status_code for answer in refused] == [401, 401]
    assert refused[0].headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/model", headers={"Authorization": "sésame".encode().decode("latin-1")}).status_code == 401
    assert [client.get(path).status_code for path in ("/health", "/ready", "/", "/openapi.json")] == [200] * 4
    assert "roof" not in client.get("/").text
    assert all("X-Run-ID" not in answer.headers for answer in (*refused, client.get("/health")))
    welcome = {"Authorization": "Bearer sésame".encode().decode("latin-1")}
    assert send(client, content, headers=welcome).status_code == 200


# --- what else there is -----------------------------------------------------------------------------------------------


def test_headers_name_request_model_run_and_time(client, bundle, picture):
    answer = send(client, picture.read_bytes(), headers={"X-Request-ID": "abc"})
    foreign = send(client, picture.read_bytes(), headers={"X-Request-ID": "no spaces, please"})

    assert answer.headers["X-Request-ID"] == "abc"
    assert len(foreign.headers["X-Request-ID"]) == 32
    assert answer.headers["X-Model-Digest"] == sha256_file(bundle / "model.onnx")
    assert answer.headers["X-Run-ID"] == load_bundle(bundle).run_id
    assert [step.split(";")[0] for step in answer.headers["Server-Timing"].split(", ")] == [
        "upload", "wait", "predict", "total",
    ]  # fmt: skip


def test_the_card_health_and_figures(bundle, picture):
    client = create_app(load_bundle(bundle)).test_client()
    send(client, picture.read_bytes())
    send(client, b"x")

    assert client.get("/model").get_json() == read_json(bundle / "bundle.json")
    assert client.get("/health").get_json() == {"status": "ok"}
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    counts = {
        (sample.labels["endpoint"], sample.labels["status"]): sample.value
        for sample in families["maskmill_requests"].samples
        if sample.name.endswith("_total")
    }
    assert counts["predict", "200"] == counts["predict", "415"] == 1
    assert families["maskmill_batch_tiles"].samples[0].value > 0


def test_not_ready_once_the_network_is_gone(bundle):
    app = create_app(load_bundle(bundle))
    app.extensions["maskmill"].runtime.close()

    assert app.test_client().get("/ready").status_code == 503


def test_the_document_names_every_path_and_form(client):
    document = client.get("/openapi.json").get_json()

    paths = {str(rule) for rule in client.application.url_map.iter_rules()}
    assert set(document["paths"]) == paths
    assert document["paths"]["/predict"]["post"]["parameters"][0]["schema"]["enum"] == list(FORMATS)
    page = client.get("/").text
    assert "roof, road" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_unknown_paths_and_methods_are_problems_too(client):
    assert client.get("/nothing").get_json()["status"] == 404
    answer = client.get("/predict")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]

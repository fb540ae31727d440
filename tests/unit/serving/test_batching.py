"""Tiles of several callers in one batch: the same answers, each to its own caller."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import torch
from PIL import Image

from maskmill.deployment.bundle import load_bundle, read_card
from maskmill.deployment.segmentation import segment_pictures
from maskmill.export.onnx import export_onnx
from maskmill.imaging.images import read_image
from maskmill.inference.artifacts import Artifact
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.models import load_model, save_model
from maskmill.models.early_exit import describe
from maskmill.serving import api
from maskmill.serving.api import create_app
from maskmill.serving.batching import BatchingRuntime
from maskmill.serving.limits import Limits
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import make_member, write_weights

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class Slow:
    """Doubles tiles, and notes the batches; the first one lasts until `go` is set."""

    def __init__(self):
        self.batches, self.began, self.go = [], Event(), Event()

    def __call__(self, batch):
        self.batches.append(batch.shape)
        self.began.set()
        assert self.go.wait(10)
        if np.isnan(batch).any():
            raise ValueError("no number")
        return 2 * batch


def call_at_once(runtime, slow, tiles):
    """Answers, or errors, of calls that come in while the network is at work on something else."""
    answers = [None] * len(tiles)

    def call(index):
        try:
            answers[index] = runtime(tiles[index])
        except ValueError as error:
            answers[index] = error

    first = Thread(target=runtime, args=(np.zeros((1, 1, 2, 2), np.float32),))
    first.start()
    assert slow.began.wait(10)
    threads = [Thread(target=call, args=(index,)) for index in range(len(tiles))]
    for thread in threads:
        thread.start()
    while runtime._incoming.qsize() < len(tiles):
        pass
    slow.go.set()
    for thread in [first, *threads]:
        thread.join(10)
    return answers


def tile(value, count=1, side=4):
    return np.full((count, 1, side, side), value, np.float32)


def joined(runtime, slow, sizes):
    """Shapes of the batches in which calls of so many tiles that wait together are predicted."""
    slow.began.clear(), slow.go.clear(), slow.batches.clear()
    answers = call_at_once(runtime, slow, [tile(value, count) for value, count in enumerate(sizes, 1)])
    for value, (count, answer) in enumerate(zip(sizes, answers, strict=True), 1):
        np.testing.assert_array_equal(answer, tile(2 * value, count))
    runtime(tile(0))
    return [shape[0] for shape in slow.batches[1:-1]]


def test_what_waits_goes_together_once_it_is_known_to_change_nothing():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=3, short=10)

    first = joined(runtime, slow, [1, 1, 1])
    second = joined(runtime, slow, [1, 1, 1])

    assert first[:3] == [1, 1, 1]
    assert second == [3]


def test_with_one_tile_at_most_calls_are_never_joined():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=1, short=10)

    for _ in range(2):
        assert joined(runtime, slow, [1, 2, 1]) == [1, 2, 1]


def test_what_a_batch_would_change_stays_alone():
    """A network whose numbers depend on the batch, as those with channel attention in ONNX Runtime."""

    class Dependent(Slow):
        def __call__(self, batch):
            return super().__call__(batch) * np.float32(1 if len(batch) == 1 else 1 + 2**-23)

    slow = Dependent()
    runtime = BatchingRuntime(slow, most_tiles=3, short=10)

    joined(runtime, slow, [1, 1])

    assert joined(runtime, slow, [1, 1]) == [1, 1]


def test_calls_that_take_long_are_not_tried_together():
    """The trial would hold up all who wait for twice as long."""
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=3, short=0)

    assert joined(runtime, slow, [1, 1, 1]) == [1, 1, 1]
    assert joined(runtime, slow, [1, 1, 1]) == [1, 1, 1]


@pytest.mark.parametrize("attention", ["none", "cbam"])
def test_networks_give_the_bytes_of_tiles_predicted_alone(tmp_path, attention):
    write_weights(tmp_path / "model.safetensors", seed=1, width=8, attention=attention)
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    network = OnnxRuntime(tmp_path / "model.onnx", threads=1)
    tiles = np.random.default_rng(0).standard_normal((24, 1, 3, 32, 32), np.float32)
    runtime = BatchingRuntime(network, most_tiles=8, short=10)

    with ThreadPoolExecutor(len(tiles)) as pool:
        answers = list(pool.map(runtime, [*tiles, *tiles, *tiles]))

    for tile, *found in zip(tiles, answers[:24], answers[24:48], answers[48:], strict=True):
        for one in found:
            np.testing.assert_array_equal(one, network(tile))


def test_black_tiles_prove_nothing():
    slow = Slow()
    runtime = BatchingRuntime(lambda batch: slow(batch) * np.float32(len(batch)), most_tiles=3, short=10)
    black = [tile(0), tile(0)]
    call_at_once(runtime, slow, black)
    runtime(tile(0))

    assert list(runtime._joins.values()) == [False]


def test_other_shapes_and_what_is_too_much_are_not_tried_together():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=4, short=10)

    call_at_once(runtime, slow, [tile(1, 3), tile(1, 1, side=8), tile(1, 3)])

    assert sorted(slow.batches[1:]) == [(1, 1, 8, 8), (3, 1, 4, 4), (3, 1, 4, 4)]
    assert not runtime._joins


def test_a_call_larger_than_the_batch_is_answered_whole():
    slow = Slow()
    slow.go.set()

    assert BatchingRuntime(slow, most_tiles=2)(tile(1, 5)).shape == (5, 1, 4, 4)


def test_errors_reach_the_callers_and_the_thread_lives_on():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=1)

    bad, good = call_at_once(runtime, slow, [tile(np.nan), tile(1)])

    assert isinstance(bad, ValueError)
    np.testing.assert_array_equal(good, tile(2))
    assert runtime.alive


def test_closing_answers_what_waits():
    slow = Slow()
    slow.go.set()
    runtime = BatchingRuntime(slow, most_tiles=1)
    answer = runtime(tile(1))
    runtime.close()

    np.testing.assert_array_equal(answer, tile(2))
    assert not runtime.alive


def test_many_callers():
    callers = 8
    runtime = BatchingRuntime(lambda batch: batch + 1, most_tiles=3, short=10)
    start, wrong = Barrier(callers), []

    def call(value):
        start.wait(10)
        for repeat in range(50):
            tiles = tile(value, 1 + repeat % 3)
            if not np.array_equal(runtime(tiles), tiles + 1):
                wrong.append(value)

    threads = [Thread(target=call, args=(value,)) for value in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not wrong
    assert sum(runtime.sizes) == sum(1 + repeat % 3 for repeat in range(50)) * callers


@pytest.fixture(scope="module")
def early_bundle(tmp_path_factory):
    """The bundle of a network that exits early, whose gates let half of its tiles out at each level."""
    folder = tmp_path_factory.mktemp("early")
    member = make_member(folder, architecture="early_exit_unet")
    model, metadata = load_model(member.files["model"])
    tiles = torch.randn(8, 3, 32, 32) * torch.linspace(0, 2, 8).view(-1, 1, 1, 1)
    with torch.no_grad():
        *skips, features = model.eval().encode(tiles)
        deepest = describe(features)
        for level in (2, 1):
            if level < 2:
                features = model.decode(level, features, skips[level])
            asked = model._ask(level, features, deepest)
            model.gates[level - 1][-1].bias -= asked.median()
    save_model(member.files["model"], model, metadata)
    export_onnx(member.files["model"], folder / "model.onnx")
    judge(member, folder / "model.onnx", folder)
    pack(member, folder)
    return folder / "bundle"


def test_answers_of_a_network_that_exits_early_are_the_same_however_many_ask(early_bundle, tmp_path):
    opened = load_bundle(early_bundle)
    rng = np.random.default_rng(0)
    pictures = {}
    for number, contrast in enumerate(np.linspace(0, 127, 12)):
        pixels = np.clip(128 + contrast * rng.standard_normal((32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        pictures[f"{number}"] = tmp_path / f"{number}.png"
    assert segment_pictures(opened, pictures, tmp_path / "masks", 1) == []
    app = create_app(opened, Limits(at_once=6))

    def ask(name):
        data = {"image": (io.BytesIO(pictures[name].read_bytes()), "picture.png")}
        return app.test_client().post("/predict", data=data, content_type="multipart/form-data").data

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, [*pictures] * 4))

    assert answers == [(tmp_path / f"masks/{name}.png").read_bytes() for name in pictures] * 4
    assert set(app.extensions["maskmill"].runtime.sizes) == {1}
    assert _levels(early_bundle, pictures.values()) == {0, 1, 2}


def _levels(bundle, pictures):
    """The levels at which tiles of these pictures leave."""
    model, _ = load_model(bundle / "model.safetensors")
    preprocessing = load_bundle(bundle).recipe.preprocessing
    inputs = [preprocessing.prepare(read_image(file)[np.newaxis])[0].transpose(0, 3, 1, 2) for file in pictures]
    with torch.no_grad():
        return set(model.eval().exit_early(torch.from_numpy(np.concatenate(inputs)))[1].tolist())


@pytest.mark.parametrize(("tile", "seen"), [((1, 512, 512), (16, 16)), ((1, 8, 512), (8, 16))])
def test_engines_get_no_more_than_they_are_built_for(bundle, tile, seen, monkeypatch):
    batches = []

    def engine(batch):
        batches.append(batch.shape)
        return np.zeros((len(batch), 2, *batch.shape[2:]), np.float32)

    opened = load_bundle(bundle)
    tiling = replace(opened.recipe.tiling, tile=tile, batch_size=3)
    opened = replace(opened, recipe=replace(opened.recipe, tiling=tiling))
    monkeypatch.setattr(type(opened), "open", lambda self, threads, artifact: engine)
    card = read_card(opened.folder)
    card["files"]["model.engine"] = "0"
    monkeypatch.setattr(api, "read_card", lambda folder: card)
    app = create_app(opened, artifact=Artifact("tensorrt"))

    assert batches == [(1, 3, *seen)]  # of a network with a stride of 4
    assert app.extensions["maskmill"].runtime.most_tiles == 3


def test_requests_are_joined_on_a_gpu_and_not_on_a_processor(bundle, monkeypatch):
    assert create_app(load_bundle(bundle)).extensions["maskmill"].runtime.most_tiles == 1

    monkeypatch.setattr(OnnxRuntime, "on_gpu", property(lambda self: True, lambda self, value: None), raising=False)

    assert create_app(load_bundle(bundle)).extensions["maskmill"].runtime.most_tiles == 8

"""An ensemble as one ONNX file: the mean of its members, behind the same gates, in a bundle that runs by itself."""

import json

import numpy as np
import onnx
import pytest

from maskmill.cli import main
from maskmill.deployment.bundle import load_bundle
from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_members
from maskmill.files import read_json, write_json
from maskmill.imaging.images import read_image, read_label_png
from maskmill.inference.members import join_members
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from maskmill.runs import read_run
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import CLASSES, TILING, make_ensemble

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", params=[(0, 1), (0, 0)], ids=["folds", "seeds"])
def ensemble(request, tmp_path_factory):
    """Two members in one ONNX file."""
    made = make_ensemble(tmp_path_factory.mktemp("ensemble"), request.param)
    export(made, made.folder / "model.onnx")
    return made


def export(ensemble, output, configs=None):
    """Export the members, with the configurations that they have or with others."""
    export_members(ensemble.inputs["models"], configs or ensemble.inputs["configs"], output)


def test_the_graph_gives_the_mean_of_the_members_own_probabilities(ensemble):
    runs = [read_run(config) for config in ensemble.inputs["configs"]]
    image = np.random.default_rng(1).integers(0, 256, (1, 32, 48, 3)).astype(np.uint8)

    def prepared(run):
        tile, _ = Preprocessing.from_dict(run["preprocessing"]).prepare(image)
        return np.ascontiguousarray(tile.transpose(0, 3, 1, 2))

    members = [TorchRuntime(model, 1)(prepared(run))
               for model, run in zip(ensemble.inputs["models"], runs, strict=True)]  # fmt: skip
    found = OnnxRuntime(ensemble.folder / "model.onnx", 1)(prepared(join_members(runs, TILING).run))

    np.testing.assert_allclose(found, (members[0] + members[1]) / 2, rtol=0, atol=1e-5)
    assert np.abs(members[0] - members[1]).max() > 0.1


@pytest.mark.slow
def test_the_same_members_give_the_same_bytes_and_are_named_in_them(ensemble, tmp_path):
    export(ensemble, tmp_path / "again.onnx")

    assert (tmp_path / "again.onnx").read_bytes() == (ensemble.folder / "model.onnx").read_bytes()
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "again.onnx").metadata_props}
    members = json.loads(properties["maskmill"])["members"]
    assert members.keys() == set(join_members([read_run(one) for one in ensemble.inputs["configs"]], TILING).names)


def test_a_graph_that_normalises_otherwise_is_caught(tmp_path):
    folds = make_ensemble(tmp_path / "folds", (0, 1))
    first, second = folds.inputs["configs"]
    text = first.read_text(encoding="utf-8")
    (tmp_path / "other.yaml").write_text(text.replace("- 0.5", "- 0.1"), encoding="utf-8")
    assert (tmp_path / "other.yaml").read_text(encoding="utf-8") != text

    export(folds, tmp_path / "model.onnx", [tmp_path / "other.yaml", second])

    assert not judge(folds, tmp_path / "model.onnx", tmp_path)["passed"]


def test_a_bundle_names_its_members_and_segments_without_them(ensemble, tmp_path):
    assert judge(ensemble, ensemble.folder / "model.onnx", tmp_path)["passed"]
    pack(ensemble, tmp_path)

    card, bundle = read_json(tmp_path / "bundle/bundle.json"), load_bundle(tmp_path / "bundle")
    runs = [read_run(config) for config in ensemble.inputs["configs"]]
    joined = join_members(runs, TILING)
    named = zip(joined.names, ("run0", "run1"), strict=True)
    assert card["members"] == [{"member": name, "run_id": run_id} for name, run_id in named]
    assert card["metrics"]["mean"]["iou"]["mean"] == 0.6  # of the ensemble, not of its members
    assert bundle.run_id == joined.run["run_id"]
    assert card["files"].keys() == {"model.onnx", "parity.json", *(f"{name}.safetensors" for name in joined.names)}
    assert main(["predict", str(bundle.folder), str(ensemble.folder / "a.png"), "-o", str(tmp_path / "masks")]) == 0
    image = read_image(ensemble.folder / "a.png")[np.newaxis]
    expected = bundle.recipe.mask(image, joined.torch_runtime(ensemble.inputs["models"], 1))
    np.testing.assert_array_equal(read_label_png(tmp_path / "masks/a.png"), expected[0])
    assert len(np.unique(expected)) == 1 + len(CLASSES)


def test_a_test_picture_in_the_choice_is_caught(ensemble, tmp_path):
    judge(ensemble, ensemble.folder / "model.onnx", tmp_path)
    point = read_json(ensemble.files["point"])
    write_json(ensemble.files["point"], point | {"samples": [*point["samples"], "c"]})
    try:
        with pytest.raises(MaskmillError, match=r"thresholds and steps .*: c is a test sample"):
            pack(ensemble, tmp_path)
    finally:
        write_json(ensemble.files["point"], point)

"""The parity gate on whole volumes, for networks of three dimensions and of two."""

import numpy as np
import onnx
import pytest
from PIL import Image

from maskmill.classes import Classes
from maskmill.data.cases import Case
from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_onnx
from maskmill.export.parity import Cases, check_parity
from maskmill.files import read_json
from maskmill.imaging.volumes import write_label_volume
from maskmill.inference.artifacts import EXACT
from maskmill.inference.postprocess import OperatingPoint
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.recipe import Recipe
from maskmill.inference.tiling import Tiling
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import LIMITS, VOLUME_TILING, make_member
from tests.unit.volume_data import write_nifti

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def member(request, tmp_path_factory):
    """A member for volumes with its ONNX export."""
    made = make_member(tmp_path_factory.mktemp("member"), volumes=True, dimensions=request.param)
    export_onnx(made.files["model"], made.folder / "model.onnx")
    return made


def test_an_equal_export_passes_on_whole_volumes(member, tmp_path):
    verdict = judge(member, member.folder / "model.onnx", tmp_path, VOLUME_TILING)

    assert verdict["passed"]
    assert [case["id"] for case in verdict["cases"]] == ["a", "b"]
    assert verdict["unit"] == "mm"
    assert verdict["artifacts"][0]["worst"]["probability_difference"]["value"] <= 1 / 255


def test_changed_weights_are_caught_and_nothing_is_packed(member, tmp_path):
    graph = onnx.load(member.folder / "model.onnx")
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * 1.3, weights.name))
    onnx.save(graph, tmp_path / "changed.onnx")

    assert not judge(member, tmp_path / "changed.onnx", tmp_path, VOLUME_TILING)["passed"]
    with pytest.raises(MaskmillError, match="does not give the masks of the trained model"):
        pack(member, tmp_path, VOLUME_TILING)


def test_the_slice_that_differs_most_is_drawn(tmp_path):
    values = np.zeros((7, 12, 16), np.uint8)
    values[2:6, 2:8, 3:9] = 200
    source = write_nifti(tmp_path / "a.nii", values.T)
    write_label_volume(tmp_path / "a.label.nii.gz", values // 200, like=source)
    preprocessing = Preprocessing(1, 1.0, ((0, 255),), 0, False, "dataset", (0.0,), (1.0,))
    tiling, point = Tiling((8, 16, 16), 0.2, "constant", 1), OperatingPoint((0.5,))
    recipe = Recipe(Classes.from_config(["a"]), preprocessing, tiling, True, 3, (1, 1, 1), point)

    def otherwise(batch):
        changed = batch.copy()
        changed[:, :, 3, :2] = 1
        changed[:, :, 4, :, :1] = 1
        return changed

    case = Case("a", "g", "00", str(source), is_volume=True)
    check_parity(
        lambda batch: batch, {EXACT: otherwise}, recipe, Cases([(case, tmp_path / "a.label.nii.gz")]), LIMITS,
        tmp_path / "parity.json", tmp_path / "parity",
    )  # fmt: skip

    differing = np.array(Image.open(tmp_path / "parity/onnxruntime-fp32.png"))[:, -16:, 0] == 255
    expected = np.zeros((12, 16), bool)
    expected[:2] = True  # slice 3, in which 32 pixels differ; in slice 4 it is 12
    np.testing.assert_array_equal(differing, expected)
    (judged,) = read_json(tmp_path / "parity.json")["artifacts"]
    (agreement,) = judged["cases"]
    assert agreement["mask_disagreement"] == pytest.approx((32 + 12) / values.size)

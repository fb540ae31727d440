"""The parity gate on a network that has learnt its task: what is faithful passes, every kind of wrong export is caught.

All but one defect are caught even by the widest limits, those of INT8, so that no limit hides them.
"""

import numpy as np
import onnx
import pytest
import torch

from maskmill.data.cases import label_paths, read_cases
from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_members
from maskmill.export.parity import Cases, check_parity
from maskmill.export.verdict import require_parity
from maskmill.files import read_json
from maskmill.inference.artifacts import EXACT, Artifact, configured_artifacts
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from maskmill.models import load_model, save_model
from maskmill.runs import read_run
from tests.unit.export.test_parity import judge
from tests.unit.member import LIMITS, TILING

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
WIDEST = dict.fromkeys(LIMITS, LIMITS["int8"])


def compare(trained, candidate, folder, limits=WIDEST):
    """The verdict on a runtime."""
    run, files = read_run(trained.files["config"]), trained.files
    recipe = Recipe.of_member(run, TILING, False, (1, 4, 4), files["point"])
    cases = read_cases(trained.tables["samples"], trained.tables["splits"], 0, "validation")
    labelled = list(zip(cases, label_paths(cases, trained.tables["labels"]), strict=True))
    reference = TorchRuntime(files["model"], 1)
    check_parity(reference, {EXACT: candidate}, recipe, Cases(labelled), limits, folder / "v.json", folder / "v")
    return read_json(folder / "v.json")


def edited(trained, folder, change, source="model.onnx"):
    """The runtime of an export after `change` of its graph."""
    model = onnx.load(trained.folder / source)
    change(model.graph)
    onnx.save(model, folder / "edited.onnx")
    return OnnxRuntime(folder / "edited.onnx", 1)


def caught(verdict, path):
    """Whether the gate refuses, with a line that names a validation picture and a limit."""
    with pytest.raises(MaskmillError, match=r"(?s)no bundle is packed\.\n  - ONNX Runtime FP32: .*( on |no numbers)"):
        require_parity(verdict, path, {})
    return not verdict["passed"]


def test_faithful_exports_pass_within_the_limits_of_their_precision(trained, tmp_path):
    artifacts = configured_artifacts(["fp32", "fp16", "int8"], ["fp32", "bf16"])
    verdict = judge(trained, trained.folder / "model.onnx", tmp_path, artifacts=artifacts)

    assert verdict["passed"]
    assert verdict["reference"]["iou"] > 0.8  # it has learnt something, so that a defect has something to spoil
    assert [judged["label"] for judged in verdict["artifacts"]] == [artifact.label for artifact in artifacts]
    by_label = {judged["label"]: judged for judged in verdict["artifacts"]}
    assert by_label["ONNX Runtime FP32"]["worst"]["mask_disagreement"]["value"] == 0
    assert by_label["ONNX Runtime INT8"]["worst"]["probability_difference"]["value"] > 1 / 255
    assert by_label["OpenVINO BF16"]["worst"]["probability_difference"]["value"] > 1 / 255
    assert {file.stem for file in (tmp_path / "parity").iterdir()} == {artifact.name for artifact in artifacts}


def test_swapped_channels_are_caught(trained, tmp_path):
    exact = OnnxRuntime(trained.folder / "model.onnx", 1)

    verdict = compare(trained, lambda batch: exact(np.ascontiguousarray(batch[:, ::-1])), tmp_path)

    assert caught(verdict, tmp_path / "v.json")


def test_dropped_normalisation_is_caught(trained, tmp_path):
    exact = OnnxRuntime(trained.folder / "model.onnx", 1)

    verdict = compare(trained, lambda batch: exact(batch * np.float32(0.15) + np.float32(0.45)), tmp_path)

    assert caught(verdict, tmp_path / "v.json")


def test_another_interpolation_is_caught(trained, tmp_path):
    def to_nearest(graph):
        resizes = [node for node in graph.node if node.op_type == "Resize"]
        assert resizes
        for node in resizes:
            mode = next(attribute for attribute in node.attribute if attribute.name == "mode")
            assert mode.s == b"linear"
            mode.s = b"nearest"

    verdict = compare(trained, edited(trained, tmp_path, to_nearest), tmp_path, LIMITS)

    assert caught(verdict, tmp_path / "v.json")


def test_corrupt_weights_are_caught(trained, tmp_path):
    def flip_exponents(graph):
        weights = max(graph.initializer, key=lambda tensor: len(tensor.raw_data))
        data = bytearray(weights.raw_data)
        data[3 :: 4 * 16] = bytes(byte ^ 0x02 for byte in data[3 :: 4 * 16])  # a bit of the exponent of every 16th
        weights.raw_data = bytes(data)

    verdict = compare(trained, edited(trained, tmp_path, flip_exponents), tmp_path)

    assert caught(verdict, tmp_path / "v.json")


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_saturated_half_precision_is_caught(trained, tmp_path):
    """Layers that grow a million-fold and shrink again are the same network in float32, and infinite in float16."""
    model, metadata = load_model(trained.files["model"])
    batch = torch.randn(1, 3, 16, 16)
    expected = model(batch)
    with torch.no_grad():
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        norms[0].weight *= 1e6
        norms[0].bias *= 1e6
        model.encoder[0][0][3].weight /= 1e6
    torch.testing.assert_close(model(batch), expected, rtol=1e-3, atol=1e-3)
    save_model(tmp_path / "model.safetensors", model, metadata)
    config = trained.files["config"]
    export_members([tmp_path / "model.safetensors"], [config], tmp_path / "half.onnx", "fp16")
    export_members([tmp_path / "model.safetensors"], [config], tmp_path / "single.onnx")

    verdict = compare(trained, OnnxRuntime(tmp_path / "half.onnx", 1), tmp_path)

    assert caught(verdict, tmp_path / "v.json")
    assert compare(trained, OnnxRuntime(tmp_path / "single.onnx", 1), tmp_path)["passed"]


def test_probabilities_that_are_no_numbers_are_caught_even_where_the_masks_agree(trained, tmp_path):
    exact = OnnxRuntime(trained.folder / "model.onnx", 1)

    def broken(batch):
        found = exact(batch)
        lowest = np.unravel_index(found.argmin(), found.shape)
        found[lowest] = np.nan  # read as 0, it changes no mask
        return found

    verdict = compare(trained, broken, tmp_path)

    (judged,) = verdict["artifacts"]
    assert judged["not_finite"] > 0
    assert judged["exceeded"] == []
    assert caught(verdict, tmp_path / "v.json")


def test_each_precision_has_limits_of_its_own(trained, tmp_path):
    artifacts = (EXACT, Artifact("onnxruntime", "int8"))
    verdict = judge(trained, trained.folder / "model.onnx", tmp_path, artifacts=artifacts)

    exact, int8 = verdict["artifacts"]
    assert exact["limits"] == LIMITS["fp32"]
    assert int8["limits"] == LIMITS["int8"]
    assert int8["passed"]
    assert int8["worst"]["mask_disagreement"]["value"] > LIMITS["fp32"]["mask_disagreement"]  # too far for fp32

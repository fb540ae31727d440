"""What a runtime does to the process that it lives in."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maskmill.inference.runtimes import OnnxRuntime, OpenVinoRuntime, in_parts

ROOT = Path(__file__).parents[3]

ONE_AFTER_THE_OTHER = """
import signal, subprocess, sys
from pathlib import Path
from maskmill.inference.runtimes import OpenVinoRuntime

first, second = (OpenVinoRuntime(Path(sys.argv[1]), 1) for _ in range(2))
del first
del second
signal.signal(signal.SIGCHLD, lambda *_: print("handled"))
subprocess.run(["true"], check=True)
"""


def write_identity(path):
    """An ONNX file that gives back what it takes."""
    shape = ["n", 1, "h", "w"]
    taken, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("taken", "given"))
    graph = helper.make_graph([helper.make_node("Identity", ["taken"], ["given"])], "identity", [taken], [given])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_signals_are_handled_after_openvino_runtimes_went(tmp_path):
    model = write_identity(tmp_path / "identity.onnx")

    ended = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, model], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert "handled" in ended.stdout  # more than once where a process that OpenVINO asked something ends as late


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ((4, 3, 512, 512), [1, 1, 1, 1]),
        ((4, 3, 1024, 1024), [1, 1, 1, 1]),
        ((5, 1, 256, 256), [4, 1]),
        ((4, 1, 128, 128), [4]),
        ((3, 1, 32, 64, 64), [2, 1]),
        ((2, 1, 32, 128, 128), [1, 1]),
    ],
)
def test_a_processor_takes_no_more_tiles_together_than_have_the_pixels_of_one_of_512(shape, parts):
    numbers = np.arange(shape[0], dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
    batch, taken = np.broadcast_to(numbers, shape), []

    def run(part):
        taken.append(len(part))
        return part[:, :1] + 1

    result = in_parts(run, batch)

    assert taken == parts
    assert result.shape == (shape[0], 1, *shape[2:])
    assert [float(tile.flat[0]) for tile in result] == [number + 1 for number in range(shape[0])]


@pytest.mark.parametrize("runtime", [OnnxRuntime, OpenVinoRuntime])
def test_a_batch_in_parts_is_the_batch(tmp_path, runtime):
    identity = runtime(write_identity(tmp_path / "identity.onnx"), 1)
    batch = np.random.default_rng(0).random((3, 1, 512, 512), np.float32)

    assert np.array_equal(identity(batch), batch)

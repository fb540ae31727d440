"""What a runtime does to the process that it lives in."""

import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

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

"""Fixtures of unit tests that take long to make."""

import pytest


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A trained member with its exports in all precisions, which no test changes."""
    from maskmill.export.onnx import export_members  # slow to import, and needed by few tests
    from maskmill.export.quantization import quantize_members
    from tests.unit.export.trained import make_trained_member
    from tests.unit.member import TILING

    made = make_trained_member(tmp_path_factory.mktemp("trained"))
    for precision, name in (("fp32", "model.onnx"), ("fp16", "model.fp16.onnx")):
        export_members(made.inputs["models"], made.inputs["configs"], made.folder / name, precision)
    tables = {name: made.tables[name] for name in ("samples", "splits")}
    quantize_members(
        made.folder / "model.onnx", made.inputs["configs"], **tables, tiling=TILING, cases=8,
        output=made.folder / "model.int8.onnx",
    )  # fmt: skip
    return made

"""Fixtures of unit tests that take long to make."""

from pathlib import Path

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


@pytest.fixture(scope="session")
def packed_bundle(tmp_path_factory) -> Path:
    """A bundle of colour pictures, two of which, a.png and b.png, are in the folder above it; to be left as it is."""
    from maskmill.export.onnx import export_onnx
    from tests.unit.export.test_parity import judge, pack
    from tests.unit.member import make_member

    member = make_member(tmp_path_factory.mktemp("packed"))
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder)
    pack(member, member.folder)
    return member.folder / "bundle"

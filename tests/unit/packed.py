"""A bundle that was packed without training, for tests of what is done with bundles."""

from pathlib import Path

from tests.unit.export.test_parity import judge, pack
from tests.unit.member import make_member


def make_bundle(folder: Path) -> Path:
    """Pack a bundle of colour pictures below `folder`, beside which the pictures a.png and b.png are."""
    from maskmill.export.onnx import export_onnx

    member = make_member(folder)
    export_onnx(member.files["model"], folder / "model.onnx")
    judge(member, folder / "model.onnx", folder)
    pack(member, folder)
    return folder / "bundle"

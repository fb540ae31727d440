"""What each runtime costs: a row each, of what the recipe really does, from processes of their own."""

import pytest

from maskmill.export.benchmark import COLUMNS, EAGER, benchmark_runtimes
from maskmill.export.onnx import export_members
from maskmill.files import read_table
from maskmill.inference.artifacts import EXACT, Artifact
from tests.unit.export.test_parity import judge
from tests.unit.member import TILING, VOLUME_TILING, make_ensemble, make_member

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
ARTIFACTS = (EXACT, Artifact("openvino", "bf16"))


def measure(made, folder, tiling, artifacts=ARTIFACTS):
    """The rows on a member or ensemble."""
    export_members(made.inputs["models"], made.inputs["configs"], made.folder / "model.onnx")
    judge(made, made.folder / "model.onnx", folder, tiling, artifacts)
    tables = {name: made.tables[name] for name in ("samples", "splits")}
    benchmark_runtimes(
        **made.inputs, **tables, onnx=[made.folder / "model.onnx"], artifacts=artifacts,
        verdicts=[folder / "parity.json"], tiling=tiling, threads=1, output=folder / "runtimes.csv",
    )  # fmt: skip
    return read_table(folder / "runtimes.csv")


def test_every_artifact_has_a_row_with_all_columns(tmp_path):
    member = make_member(tmp_path / "member")

    rows = measure(member, tmp_path, TILING)

    assert [row["runtime"] for row in rows] == [EAGER, *(artifact.label for artifact in ARTIFACTS)]
    for row in rows:
        assert tuple(row) == COLUMNS
        assert all(row.values())
        assert float(row["latency_ms_min"]) <= float(row["latency_ms_p50"]) <= float(row["latency_ms_p99"])
        assert row["tile"] == "32 × 32"
        assert float(row["memory_mb"]) > 20
    eager, exact, _ = rows
    assert float(eager["ratio_to_eager"]) == 1
    assert float(eager["file_mb"]) == pytest.approx(member.files["model"].stat().st_size / 1e6)
    assert float(exact["memory_mb"]) < float(eager["memory_mb"])  # without PyTorch
    assert float(exact["validation_iou"]) == float(eager["validation_iou"])


@pytest.mark.slow
def test_the_tile_of_volumes_is_the_one_that_is_used(tmp_path):
    member = make_member(tmp_path / "member", volumes=True, dimensions=3)

    rows = measure(member, tmp_path, VOLUME_TILING | {"tile": [4, 16, 20]}, (EXACT,))

    assert {row["tile"] for row in rows} == {"4 × 16 × 20"}


@pytest.mark.slow
def test_all_members_of_an_ensemble_are_timed(tmp_path):
    ensemble = make_ensemble(tmp_path / "ensemble", (0, 1))

    eager, exact = measure(ensemble, tmp_path, TILING, (EXACT,))

    sizes = [model.stat().st_size for model in ensemble.inputs["models"]]
    assert float(eager["file_mb"]) == pytest.approx(sum(sizes) / 1e6, rel=1e-4)
    assert float(exact["latency_ms_min"]) > 0

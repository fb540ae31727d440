"""An experiment whose members are deployed together, over folds and over seeds."""

import numpy as np
import pytest

from maskmill.cli import main
from maskmill.deployment.bundle import load_bundle
from maskmill.files import read_json, read_table
from maskmill.imaging.images import read_label_png
from tests.workflow.conftest import TINY, make_project

ALL = {"export": {"members": "all"}}
FOLDS = {"dataset": TINY["dataset"] | {"split": {"folds": 2}}}
SEEDS = {"seeds": [0, 1]}
BUNDLE = "results/tiny/experiments/baseline/bundle"


def test_an_ensemble_is_planned_like_a_further_member_that_is_not_trained(tmp_path):
    best = make_project(tmp_path / "best", TINY | FOLDS).planned()
    together = make_project(tmp_path / "together", TINY | FOLDS | ALL).planned()

    # of two experiments: both splits are predicted, the test is decided and measured
    more = {"predict_probabilities": 4, "postprocess_masks": 2, "evaluate_masks": 2, "evaluate_extra": 2}
    more |= {"measure_seams": 2, "measure_uncertainty": 2}
    assert together - best == more | {"choose_operating_point": 2, "plan_ensemble": 2}
    assert together["train_model"] == best["train_model"] == 4


def test_seeds_of_one_fold_need_no_check_of_their_plans(tmp_path):
    assert "plan_ensemble" not in make_project(tmp_path / "seeds", TINY | SEEDS | ALL).planned()


def test_a_single_member_is_deployed_alike_either_way(project):
    project.write_config(TINY | ALL)

    assert project.planned() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "names"),
    [(FOLDS, ["fold0-seed0", "fold1-seed0"]), (SEEDS, ["fold0-seed0", "fold0-seed1"])],
    ids=["folds", "seeds"],
)
def test_members_are_trained_measured_and_deployed_together(project, tmp_path, members, names):
    project.write_config(TINY | members | ALL)
    project.snakemake("--", BUNDLE)

    experiment, ensemble = project.results / "experiments/baseline", project.results / "runs/baseline/ensemble"
    card = read_json(project.folder / BUNDLE / "bundle.json")
    assert [member["member"] for member in card["members"]] == names
    assert card["metrics"] == read_json(experiment / "summary.json")["ensemble"]["test"]
    assert read_json(experiment / "export/parity.json")["passed"]
    folds = [column for column in read_table(project.results / "splits.csv")[0] if column.startswith("fold")]
    parts = {row["id"]: [row[fold] for fold in folds] for row in read_table(project.results / "splits.csv")}
    chosen_on = [name for name, part in parts.items() if "validation" in part]
    assert read_json(ensemble / "operating_point.json")["samples"] == sorted(chosen_on)

    tested = next(name for name, part in parts.items() if "test" in part)
    picture = next((project.folder / "resources/tiny/images").glob(f"{tested}.*"))
    assert main(["predict", str(project.folder / BUNDLE), str(picture), "-o", str(tmp_path / "masks")]) == 0
    assert load_bundle(project.folder / BUNDLE).run_id == card["run_id"]
    (mask,) = (tmp_path / "masks").glob("*.png")
    masks = [read_label_png(file) for file in (mask, ensemble / f"masks/test/{tested}.png")]
    assert np.mean(masks[0] != masks[1]) < 1e-3  # the second is PyTorch's

    project.write_config(TINY | members)
    planned = project.planned("--", BUNDLE)
    assert planned["pack_bundle"] == 1
    assert "train_model" not in planned

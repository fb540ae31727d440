"""The trial that is chosen, its options, and the table of all."""

import pytest
import yaml

from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_json
from maskmill.search.choice import choose_trial
from maskmill.search.options import apply_searched


def write_scores(folder, *scores, failed=None):
    files = []
    for number, score in enumerate(scores, 1):
        files.append(folder / f"search/{number:03d}/score.json")
        options = {"train.lr": number / 1000, "model.attention": "cbam", "train.patch": [64, 96]}
        write_json(
            files[-1],
            {"trial": f"{number:03d}", "options": options, "score": score, "run_id": f"r{number}", "failed": failed},
        )
    return files


def test_the_best_trial_is_chosen_the_first_among_equals(tmp_path):
    files = write_scores(tmp_path, 0.3, None, 0.5, 0.5)

    choose_trial(files, tmp_path / "trials.csv", tmp_path / "chosen.yaml")

    rows = read_table(tmp_path / "trials.csv")
    assert [row["chosen"] for row in rows] == ["0", "0", "1", "0"]
    assert [row["score"] for row in rows] == ["0.3", "", "0.5", "0.5"]
    assert (rows[2]["train.lr"], rows[2]["model.attention"], rows[2]["train.patch"]) == ("0.003", "cbam", "[64, 96]")
    chosen = yaml.safe_load((tmp_path / "chosen.yaml").read_text(encoding="utf-8"))
    assert chosen == {"train": {"lr": 0.003, "patch": [64, 96]}, "model": {"attention": "cbam"}}


def test_no_trial_with_a_score_is_an_error_with_the_reasons(tmp_path):
    files = write_scores(tmp_path, None, failed="the training loss became nan")

    with pytest.raises(MaskmillError, match=r"(?s)001: the training loss became nan.*remove .*search to try again"):
        choose_trial(files, tmp_path / "trials.csv", tmp_path / "chosen.yaml")


def test_what_was_found_stands_in_place_of_what_was_said(tmp_path):
    choose_trial(write_scores(tmp_path, 0.3), tmp_path / "trials.csv", tmp_path / "chosen.yaml")
    options = {"train": {"lr": 1, "epochs": 9}, "loss": {"ce": 1}}

    applied = apply_searched(options, [tmp_path / "chosen.yaml"])

    assert applied == {"train": {"lr": 0.001, "epochs": 9, "patch": [64, 96]}, "loss": {"ce": 1}}
    assert options["train"]["lr"] == 1
    assert apply_searched(options, []) == options

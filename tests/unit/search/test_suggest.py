"""What trials try: within their ranges, alike whenever they are asked for, better than chance."""

import subprocess
import sys
from itertools import islice

import pytest
import yaml

from maskmill.files import write_json
from maskmill.search.suggest import suggest, suggest_trial

SPACES = {
    "train.lr": {"whole": False, "low": 1e-4, "high": 1e-1, "log": True},
    "model.width": {"whole": True, "low": 4, "high": 32, "log": False},
    "train.patch": {"choices": [64, [96, 128]]},
    "loss.class_weights": {"choices": [None, "auto"]},
}


def trials(count: int, seed: int = 0, parallel: int = 3, spaces=SPACES, score=lambda options: 0.5) -> list[dict]:
    """Options of the trials of a search, round by round, each scored by a function."""
    done: list[tuple] = []
    while len(done) < count:
        some = list(islice(suggest(spaces, done, seed), parallel))
        done += [(options, score(options)) for options in some]
    return [options for options, _ in done[:count]]


def test_values_are_in_their_ranges_and_short():
    for options in trials(15):
        assert 1e-4 <= options["train.lr"] <= 1e-1
        assert len(f"{options['train.lr']:e}".rstrip("0").partition("e")[0].rstrip("0")) <= 4  # 1.23
        assert isinstance(options["model.width"], int)
        assert 4 <= options["model.width"] <= 32
        assert options["train.patch"] in (64, [96, 128])
        assert options["loss.class_weights"] in (None, "auto")


def test_the_seed_decides():
    assert trials(7) == trials(7)
    assert trials(7) != trials(7, seed=1)


def test_rounds_do_not_repeat_one_another():
    tried = trials(9)

    assert len({str(options) for options in tried}) == 9


def test_every_combination_is_tried_before_one_is_tried_again():
    spaces = {"a.b": {"choices": [1, 2, 3]}, "a.c": {"choices": ["x", "y"]}}

    assert len({str(options) for options in trials(6, spaces=spaces)}) == 6


def test_it_finds_what_scores_best():
    spaces = {"a.x": {"whole": False, "low": 0.0, "high": 1.0, "log": False}, "a.y": {"choices": ["good", "bad"]}}

    def score(options):
        if options["a.x"] > 0.9:
            return None  # such a trial failed
        return 1 - abs(options["a.x"] - 0.8) - (options["a.y"] == "bad")

    late = trials(40, parallel=4, spaces=spaces, score=score)[-20:]
    assert sum(options["a.y"] == "good" for options in late) > 14
    assert sum(abs(options["a.x"] - 0.8) < 0.1 for options in late) > 10  # by chance 4


def test_a_trial_of_a_round_is_suggested_by_itself(tmp_path):
    scores = []
    for number, (options, score) in enumerate(zip(trials(3), (0.1, None, 0.3), strict=True)):
        scores.append(tmp_path / f"{number}.json")
        write_json(scores[-1], {"options": options, "score": score})
    search = {"options": SPACES, "seed": 0}

    for place in (0, 2):
        suggest_trial(search, place, scores, tmp_path / f"{place}.yaml")

    written = [yaml.safe_load((tmp_path / f"{place}.yaml").read_text(encoding="utf-8")) for place in (0, 2)]
    earlier = list(zip(trials(3), (0.1, None, 0.3), strict=True))
    first, _, third = islice(suggest(SPACES, earlier, 0), 3)
    assert [one["train"]["lr"] for one in written] == [first["train.lr"], third["train.lr"]]
    assert set(written[0]) == {"train", "model", "loss"}


@pytest.mark.parametrize("module", ["maskmill.dag.configuration", "maskmill.search.options", "maskmill.search.choice"])
def test_planning_and_training_do_not_import_optuna(module):
    code = f"import sys, {module}; print(*{{'optuna', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

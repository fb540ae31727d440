"""Nothing that was fitted or tuned may have used a test sample."""

import pytest

from maskmill.errors import MaskmillError
from maskmill.files import write_json, write_table
from maskmill.leaks.isolation import check_isolation, require_isolation

SPLITS = [
    {"id": "a", "fold0": "train", "fold1": "validation"},
    {"id": "b", "fold0": "validation", "fold1": "train"},
    {"id": "c", "fold0": "test", "fold1": "test"},
    {"id": "d", "fold0": "excluded", "fold1": "train"},
]


def test_training_and_validation_samples_may_be_used():
    check_isolation(SPLITS, [0], {"normalisation": ["a"], "thresholds": ["b"], "parity": []})
    check_isolation(SPLITS, [1], {"normalisation": ["b", "d"]})


def test_of_several_folds_one_may_exclude_what_another_uses_but_none_the_test():
    check_isolation(SPLITS, [0, 1], {"thresholds": ["a", "b", "d"]})

    with pytest.raises(
        MaskmillError, match=r"(?s)folds 0, 1 would be too good:\n  thresholds: c is a test sample\nThese"
    ):
        check_isolation(SPLITS, [0, 1], {"thresholds": ["a", "c"]})
    nowhere = [{"id": "e", "fold0": "excluded", "fold1": "excluded"}]
    with pytest.raises(MaskmillError, match="thresholds: e is excluded"):
        check_isolation(nowhere, [0, 1], {"thresholds": ["e"]})


def test_each_folds_normalisation_is_checked_by_itself(tmp_path):
    write_table(tmp_path / "splits.csv", SPLITS, list(SPLITS[0]))
    write_json(tmp_path / "fingerprint.json", {"folds": [{"samples": ["d"]}, {"samples": ["b"]}]})
    write_json(tmp_path / "point.json", {"samples": ["a", "b"]})
    write_json(tmp_path / "parity.json", {"cases": [{"id": "b"}]})
    files = [tmp_path / name for name in ("fingerprint.json", "point.json", "parity.json")]

    with pytest.raises(MaskmillError, match=r"fold 0 would .*\n  normalisation \(.*\): d is excluded"):
        require_isolation(tmp_path / "splits.csv", [0, 1], *files)
    require_isolation(tmp_path / "splits.csv", [1], *files)


def test_every_artifact_and_sample_is_named():
    with pytest.raises(MaskmillError) as error:
        check_isolation(SPLITS, [0], {"normalisation": ["a", "c", "d"], "thresholds": ["c", "e"], "weights": ["a"]})
    lines = [line.strip() for line in str(error.value).splitlines()[1:-1]]
    assert lines == [
        "normalisation: c is a test sample",
        "normalisation: d is excluded, since it is too near to a sample of another part",
        "thresholds: c is a test sample",
        "thresholds: e is not in the splits",
    ]
    assert "fold 0" in str(error.value)


def test_artifacts_of_a_member_are_read(tmp_path):
    write_table(tmp_path / "splits.csv", SPLITS, list(SPLITS[0]))
    write_json(tmp_path / "fingerprint.json", {"folds": [{"samples": ["a"]}, {"samples": ["b"]}]})
    write_json(tmp_path / "point.json", {"samples": ["b"]})
    write_json(tmp_path / "parity.json", {"cases": [{"id": "b"}]})
    files = [tmp_path / name for name in ("fingerprint.json", "point.json", "parity.json")]
    require_isolation(tmp_path / "splits.csv", [0], *files)
    write_json(tmp_path / "point.json", {"samples": ["b", "c"]})
    with pytest.raises(MaskmillError, match=r"thresholds and steps \(.*point.json\): c is a test sample"):
        require_isolation(tmp_path / "splits.csv", [0], *files)

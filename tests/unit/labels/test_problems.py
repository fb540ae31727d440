"""The list of problems counts files, and advises nothing that cannot help."""

import pytest

from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.labels.palettes import PALETTE_COLUMNS
from maskmill.labels.problems import Problem, check_inputs, collect_problems, describe, write_problems


def problem(sample="a", file="a.json", kind="unknown_label"):
    return Problem(sample, file, kind, "something", "mend it")


def refusal(folder, problems, samples=("a", "b", "c")):
    """What `check_inputs` says of these problems."""
    write_problems(folder / "problems.csv", problems)
    write_table(folder / "manifest.csv", [{"id": sample} for sample in samples], ["id"])
    with pytest.raises(MaskmillError) as error:
        check_inputs(folder / "problems.csv", folder / "manifest.csv", "fail", folder / "samples.csv")
    return str(error.value)


def test_to_skip_is_advised_with_what_would_be_left(tmp_path):
    message = refusal(tmp_path, [problem("a"), problem("z", "z.png", "missing_annotation")])
    assert message.endswith(
        "Mend what is listed, or set dataset.on_problem to skip to go on with the rest (2 samples)."
    )


@pytest.mark.parametrize(
    "problems",
    [
        [problem("a"), problem("b"), problem("c")],
        [problem("", "dataset.classes", "unused_class")],
        [problem("", "images", "missing_folder")],
    ],
)
def test_to_skip_is_not_advised_where_it_cannot_help(tmp_path, problems):
    assert refusal(tmp_path, problems).endswith("Mend what is listed.")


def test_pages_of_one_file_are_one_file_and_an_option_is_none():
    pages = [problem(f"a/00{page}", f"a.tif#page={page}") for page in range(5)]
    assert describe(pages).startswith("5 problems in 1 file:\n")
    assert describe([*pages, problem("b", "b.tif")]).startswith("6 problems in 2 files:\n")
    assert describe([problem("", "dataset.classes", "unused_class")]).startswith("1 problem:\n")


def test_what_a_file_of_many_samples_has_is_said_once():
    layer = [problem(sample, "all.geojson", "crs_mismatch") for sample in "abc"]
    text = describe([*layer, problem("d", "d.geojson", "crs_mismatch")])
    assert text.splitlines()[2:] == [
        "crs_mismatch (4): mend it",
        "  all.geojson: something (of 3 samples)",
        "  d.geojson: something",
    ]


def collected(folder, *rejecting, road=5):
    """Problems of a shard in which the sample "a" has pixels of the first of two classes, if any."""
    write_problems(folder / "index.csv", [])
    write_problems(folder / "labels" / "problems.csv", rejecting)
    rows = [{"id": "a", "class": value, "pixels": pixels} for value, pixels in ((0, 9), (1, road), (2, 0))]
    write_table(folder / "labels" / "statistics.csv", rows, ["id", "class", "pixels"])
    write_table(folder / "labels" / "palettes.csv", [], PALETTE_COLUMNS)
    collect_problems(folder / "index.csv", [folder / "labels"], ["road", "tower"], folder / "problems.csv")
    return {row["kind"]: row for row in read_table(folder / "problems.csv")}


def test_a_class_may_be_on_what_other_problems_reject(tmp_path):
    assert collected(tmp_path)["unused_class"]["detail"] == 'no label image has a pixel of "tower"'

    row = collected(tmp_path, problem("b"))["unused_class"]

    assert row["detail"] == 'no pixel of "tower" in the 1 sample without a problem'
    assert row["remedy"].startswith("mend the other problems first; if it stays, correct the name")


def test_label_images_without_any_class_are_a_problem(tmp_path):
    row = collected(tmp_path, road=0)["no_labels"]
    assert (row["id"], row["detail"]) == ("", "no class is on any of 1 label image")
    assert "a map layer has to lie over them" in row["remedy"]

    row = collected(tmp_path, problem("b"), road=0)["no_labels"]
    assert row["detail"] == "no class is on any of the 1 sample without a problem"
    assert row["remedy"].startswith("mend the other problems first; if it stays, see that")

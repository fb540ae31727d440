"""Proposals draw the bundle's masks, the most uncertain come first, and no person's work is overwritten."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from maskmill.annotating import preannotation
from maskmill.annotating.preannotation import BAND, collect_proposals, propose_shard, uncertainty
from maskmill.annotating.session import is_proposal
from maskmill.annotations import labelme
from maskmill.annotations.shapes import Annotation
from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.imaging.images import read_image
from maskmill.inference.postprocess import OperatingPoint, Picture, decide_mask
from maskmill.inference.preprocess import Preprocessing
from maskmill.labels.rasterize import rasterize_annotation

CLASSES = Classes.from_config(["building", "road"])
POINT = OperatingPoint((0.5, 0.5))


def probabilities(image, runtime) -> np.ndarray:
    """The first two channels of the picture (1, H, W, C) are the probabilities."""
    return image[..., :2].transpose(3, 0, 1, 2)


def decide(values, image, file) -> np.ndarray:
    return decide_mask(values, POINT, Picture(file, is_volume=False, pixels=image))


@pytest.fixture
def bundle(monkeypatch):
    """A bundle whose pictures hold the answer."""
    monkeypatch.setattr(preannotation, "OnnxRuntime", lambda path, threads: None)
    recipe = SimpleNamespace(classes=CLASSES, decide=decide, probabilities=probabilities, dimensions=2)
    recipe.preprocessing = Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (0,) * 3, (1,) * 3, ("uint8",))
    return SimpleNamespace(folder=Path("bundle"), onnx=Path("model.onnx"), recipe=recipe)


def write_answer(path: Path, level: int = 250, radius: int = 12) -> str:
    """A picture with a disc of the class building of this rounded probability, and a square of the class road."""
    rows, columns = np.mgrid[:60, :80]
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[(rows - 25) ** 2 + (columns - 30) ** 2 < radius**2, 0] = level
    picture[40:52, 50:70, 1] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return str(path)


def propose(bundle, root: Path, spacing: float = 0, **pictures: str) -> Path:
    """Proposals for pictures by name, in root/proposals."""
    propose_shard(bundle, pictures, root / "shard", root / "proposals", spacing, threads=1)
    collect_proposals([root / "shard"], root / "proposals")
    return root / "proposals"


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, content: dict) -> bytes:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path.read_bytes()


def confirmed(path: Path) -> Annotation:
    """What a proposal is once a person has taken its flag away."""
    write(path, read(path) | {"flags": {"proposed": False}})
    return labelme.read(path)


def test_a_proposal_draws_the_mask(bundle, tmp_path):
    picture = write_answer(tmp_path / "images/a.png")

    annotation = confirmed(propose(bundle, tmp_path, a=picture) / "a.json")

    mask = decide(probabilities(read_image(picture)[np.newaxis], None), None, picture)[0]
    assert set(np.unique(mask)) == {0, 1, 2}
    assert np.array_equal(rasterize_annotation(annotation, CLASSES), mask)
    assert (tmp_path / "proposals" / annotation.picture).samefile(picture)


def test_outlines_have_the_advised_spacing(bundle, tmp_path):
    picture = write_answer(tmp_path / "a.png", radius=20)
    exact, simple = (
        confirmed(propose(bundle, tmp_path / str(spacing), spacing, a=picture) / "a.json").shapes for spacing in (0, 5)
    )

    assert len(simple[0].points) < 0.7 * len(exact[0].points)


def test_a_proposal_is_marked_as_one(bundle, tmp_path):
    content = read(propose(bundle, tmp_path, a=write_answer(tmp_path / "a.png")) / "a.json")

    assert is_proposal(content)
    content["flags"]["proposed"] = False
    assert not is_proposal(content)
    assert not is_proposal(content | {"flags": None})


def test_the_most_uncertain_come_first(bundle, tmp_path):
    levels = {"sure": 254, "doubtful": 130, "fair": 180}
    pictures = {name: write_answer(tmp_path / f"{name}.png", level) for name, level in levels.items()}

    rows = read_table(propose(bundle, tmp_path, **pictures) / "order.csv")

    assert [row["id"] for row in rows] == ["doubtful", "fair", "sure"]
    assert [row["objects"] for row in rows] == ["2", "2", "2"]
    assert rows[0]["image"] == pictures["doubtful"]


def test_the_order_goes_over_all_shards(bundle, tmp_path):
    for shard, level in (("00", 250), ("01", 150)):
        file = write_answer(tmp_path / f"{shard}.png", level)
        propose_shard(bundle, {shard: file}, tmp_path / "shards" / shard, tmp_path / "out", 0, 1)

    collect_proposals([tmp_path / "shards/00", tmp_path / "shards/01"], tmp_path / "out")

    assert [row["id"] for row in read_table(tmp_path / "out/order.csv")] == ["01", "00"]


def test_what_a_person_did_is_never_overwritten(bundle, tmp_path):
    pictures = {name: write_answer(tmp_path / f"{name}.png") for name in ("corrected", "confirmed", "own", "untouched")}
    folder = propose(bundle, tmp_path, **pictures)
    corrected, accepted = read(folder / "corrected.json"), read(folder / "confirmed.json")
    corrected["shapes"][0]["points"][0][0] += 1  # and the flag "proposed" is still set
    accepted["flags"] = {"proposed": False}
    before = {
        "corrected": write(folder / "corrected.json", corrected),
        "confirmed": write(folder / "confirmed.json", accepted),
        "own": write(folder / "own.json", {"shapes": []}),
    }

    propose(bundle, tmp_path, **{name: write_answer(tmp_path / f"{name}.png", radius=5) for name in pictures})

    assert {name: (folder / f"{name}.json").read_bytes() for name in before} == before
    drawn_anew = read(folder / "untouched.json")["shapes"][0]["points"]
    assert len(drawn_anew) < len(accepted["shapes"][0]["points"])


def test_pictures_that_cannot_be_read_are_listed_and_stop_nothing(bundle, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((60, 80), np.uint16)).save(tmp_path / "deep.png")
    pictures = {name: str(tmp_path / f"{name}.png") for name in ("broken", "deep")}
    pictures["a"] = write_answer(tmp_path / "a.png")

    folder = propose(bundle, tmp_path, **pictures)

    failed = read_table(folder / "failed.csv")
    assert [row["file"] for row in failed] == [pictures["broken"], pictures["deep"]]
    assert "trained on uint8" in failed[1]["reason"]
    assert [row["id"] for row in read_table(folder / "order.csv")] == ["a"]
    assert not (folder / "broken.json").exists()


def test_a_network_for_volumes_draws_no_proposals(bundle, tmp_path):
    bundle.recipe.dimensions = 3

    with pytest.raises(MaskmillError, match=r"the bundle bundle works on whole volumes.*model\.dimensions: 2"):
        propose(bundle, tmp_path, a=write_answer(tmp_path / "a.png"))


def test_the_same_pictures_give_the_same_bytes(bundle, tmp_path):
    picture = write_answer(tmp_path / "a.png")
    first, second = (propose(bundle, tmp_path / name, 3, a=picture) for name in ("one", "two"))

    for name in ("a.json", "order.csv", "failed.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_picture_without_objects_is_proposed_empty(bundle, tmp_path):
    picture = write_answer(tmp_path / "a.png", level=20)

    folder = propose(bundle, tmp_path, a=picture)

    assert read(folder / "a.json")["shapes"] == []
    (row,) = read_table(folder / "order.csv")
    assert row["objects"] == "0"
    assert 0 < float(row["uncertainty"]) < 0.2


def test_uncertainty_is_the_entropy_near_boundaries():
    values = np.zeros((1, 40, 40), np.uint8)
    values[0, :, 20:] = 255
    mask = (values[0] > 127).astype(np.uint8)
    assert uncertainty(values, mask) == pytest.approx(0, abs=1e-6)
    values[:, :, 20 - BAND : 20 + BAND] = 51  # 0.2: 0.7219 bit
    assert uncertainty(values, mask) == pytest.approx(0.7219, abs=1e-3)
    values[:] = np.where(values == 51, 51, 128)  # undecided elsewhere makes no difference
    assert uncertainty(values, mask) == pytest.approx(0.7219, abs=1e-3)


def test_uncertainty_of_several_classes_is_1_where_all_are_alike():
    values = np.full((2, 30, 30), 85, np.uint8)

    assert uncertainty(values, np.zeros((30, 30), np.uint8)) == pytest.approx(1, abs=1e-4)
    values[1] = 0
    assert uncertainty(values, np.zeros((30, 30), np.uint8)) == pytest.approx(0.6365 / np.log(3), abs=1e-3)

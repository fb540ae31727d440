"""`maskmill video`: the masks of `maskmill predict`, whole or not at all, and clear errors."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from maskmill.cli import main
from maskmill.files import read_json, write_json
from maskmill.imaging.images import read_label_png
from maskmill.imaging.overlay import blend_mask
from maskmill.video.clips import Clip
from tests.unit.member import CLASSES
from tests.unit.video.clip_data import drive_past, write_lossless

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def clip(tmp_path):
    """A video of eight frames of 80 × 60 pixels, two of them alike."""
    frames = drive_past(8, 60, 80)
    frames[4] = frames[3]
    return write_lossless(tmp_path / "clip.avi", frames)


def video(bundle, *arguments):
    return main(["video", str(bundle), *map(str, arguments)])


def test_masks_are_the_bytes_of_predict_on_the_frames(packed_bundle, clip, tmp_path):
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(Clip.of(clip).read(), 1):
        Image.fromarray(frame).save(tmp_path / f"frames/{number:06}.png")
    assert main(["predict", str(packed_bundle), str(tmp_path / "frames"), "-o", str(tmp_path / "expected")]) == 0

    for threads in ("1", "2"):
        output = tmp_path / f"masks{threads}"
        assert video(packed_bundle, clip, output, "--masks", "--threads", threads) == 0

        assert sorted(file.name for file in output.iterdir()) == [f"{number:06}.png" for number in range(1, 9)]
        for file in output.iterdir():
            assert file.read_bytes() == (tmp_path / "expected" / file.name).read_bytes()
    assert len({file.read_bytes() for file in output.iterdir()}) == 7
    assert any(read_label_png(file).any() for file in output.iterdir())


def test_a_model_of_deeper_pictures_takes_no_video(packed_bundle, clip, tmp_path, capsys):
    deep = tmp_path / "deep"
    shutil.copytree(packed_bundle, deep)
    card = read_json(deep / "bundle.json")
    card["recipe"]["preprocessing"]["pixel_types"] = ["uint16"]
    write_json(deep / "bundle.json", card)

    assert video(deep, clip, tmp_path / "out.mp4") == 1

    assert "clip.avi: it holds uint8 values, but the model was trained on uint16 ones" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_the_video_shows_the_masks_on_top(packed_bundle, clip, tmp_path, capsys):
    video(packed_bundle, clip, tmp_path / "masks", "--masks")
    assert video(packed_bundle, clip, tmp_path / "new/out.mp4") == 0

    assert f"8 frames are in {tmp_path / 'new/out.mp4'}" in capsys.readouterr().err
    made = Clip.of(tmp_path / "new/out.mp4")
    assert (made.frames, made.rate) == (8, 10)
    frames = zip(Clip.of(clip).read(), made.read(), strict=True)
    for (frame, found), mask in zip(frames, sorted((tmp_path / "masks").iterdir()), strict=True):
        expected = blend_mask(frame, read_label_png(mask), CLASSES)
        assert np.abs(found.astype(int) - expected).mean() < np.abs(found.astype(int) - frame).mean()
        assert np.abs(found.astype(int) - expected).mean() < 20  # lossy, and masks of noise have many outlines
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.mp4"]


def test_progress_is_told_of_a_video_that_does_not_say_how_long_it_is(
    packed_bundle, clip, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("maskmill.logs.SECONDS_BETWEEN_LINES", -1)
    monkeypatch.setattr(Clip, "of", lambda path: Clip(path, 0, 10.0))

    assert video(packed_bundle, clip, tmp_path / "masks", "--masks") == 0

    assert "frames: 3 of ?" in capsys.readouterr().err
    assert len(list((tmp_path / "masks").iterdir())) == 8


def test_smoothing_and_tolerance_change_masks(packed_bundle, clip, tmp_path):
    masks = {}
    for name, options in {"plain": [], "smooth": ["--smoothing", "0.9"], "rough": ["--tolerance", "255"]}.items():
        assert video(packed_bundle, clip, tmp_path / name, "--masks", *options) == 0
        masks[name] = [read_label_png(file) for file in sorted((tmp_path / name).iterdir())]

    for name in ("smooth", "rough"):
        np.testing.assert_array_equal(masks[name][0], masks["plain"][0])
        assert any((one != plain).any() for one, plain in zip(masks[name], masks["plain"], strict=True))
    assert all((one == masks["rough"][0]).all() for one in masks["rough"])


@pytest.mark.parametrize("output", ["out.mp4", "out.avi", "masks"])
def test_a_video_that_ends_too_early_leaves_nothing(packed_bundle, clip, tmp_path, capsys, output):
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.6)])
    options = ["--masks"] if output == "masks" else []

    assert video(packed_bundle, clip, tmp_path / output, *options) == 1

    assert "says that it has 8 frames, and only" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]


def test_outputs_that_cannot_be_are_refused_before_anything_is_read(packed_bundle, clip, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious.txt").touch()
    (tmp_path / "folder.mp4").mkdir()
    before = clip.read_bytes()
    wrong = {
        ("out.gif",): "has no suffix of a video that can be written (.mp4, .avi, .webm)",
        ("out",): "or --masks for a folder",
        ("clip.avi",): "is the video itself",
        ("folder.mp4",): "is a folder",
        ("clip.avi/out.mp4",): "is a file",
        ("full", "--masks"): "exists; name a folder that does not",
        ("clip.avi", "--masks"): "exists; name a folder that does not",
        ("out.mp4", "--tolerance", "-1"): "from 0 to 255",
        ("out.mp4", "--smoothing", "1"): "from 0 to below 1",
        ("out.mp4", "--smoothing", "nan"): "from 0 to below 1",
    }

    for (output, *options), reason in wrong.items():
        assert video(packed_bundle, clip, tmp_path / output, *options) == 1
        error = capsys.readouterr().err
        assert reason in error
        assert "Traceback" not in error
    assert video(packed_bundle, tmp_path / "missing.mp4", tmp_path / "out.mp4") == 1
    assert "missing.mp4 is no file" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"full", "folder.mp4", "clip.avi"}
    assert clip.read_bytes() == before
    assert (tmp_path / "full/precious.txt").exists()


def test_a_codec_that_cannot_be_written_leaves_nothing(packed_bundle, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cv2, "VideoWriter_fourcc", lambda *codec: 0x5A5A5A5A)

    assert video(packed_bundle, clip, tmp_path / "out.avi") == 1

    assert "OpenCV cannot write a .avi video (MJPG) of 80 × 60 pixels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]

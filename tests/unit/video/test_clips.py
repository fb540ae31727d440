"""Videos that are read whole or refused with a reason, and written whole."""

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.video.clips import CODECS, Clip, ClipWriter
from tests.unit.video.clip_data import drive_past, write_lossless


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)], ids=["even", "odd"])
def test_what_is_written_comes_back_frame_by_frame(tmp_path, suffix, size):
    frames = drive_past(12, *size)
    writer = ClipWriter(tmp_path / f"clip{suffix}", 10)
    for frame in frames:
        writer.write(frame)
    writer.close()

    clip = Clip.of(tmp_path / f"clip{suffix}")

    assert (clip.frames, clip.rate) == (12, 10)
    for frame, found in zip(frames, clip.read(), strict=True):
        kept = frame[: size[0] // 2 * 2, : size[1] // 2 * 2]
        assert found.shape == kept.shape
        assert np.abs(found.astype(int) - kept).mean() < 8  # lossy, but red is red and blue is blue


def test_frames_of_a_lossless_video_are_exact(tmp_path):
    frames = drive_past(5)

    found = list(Clip.of(write_lossless(tmp_path / "clip.avi", frames)).read())

    np.testing.assert_array_equal(found, frames)


def test_what_could_not_be_read_again_is_not_taken_as_written(tmp_path):
    writer = ClipWriter(tmp_path / "clip.mp4", 10)
    for frame in drive_past(3):
        writer.write(frame)
    writer._count += 1

    with pytest.raises(MaskmillError, match="of 4 frames that were written only 3 can be read again"):
        writer.close()


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_that_was_cut_off_is_no_video_or_lacks_frames(tmp_path, suffix, share, capfd):
    writer = ClipWriter(tmp_path / f"clip{suffix}", 10)
    for frame in drive_past(40):
        writer.write(frame)
    writer.close()
    content = (tmp_path / f"clip{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[: int(len(content) * share)])
    capfd.readouterr()  # OpenCV says, of what it writes well as VP8, that its tag is not supported

    with pytest.raises(MaskmillError, match=r"cannot be read as a video|says that it has 40 frames, and only \d+ can"):
        list(Clip.of(tmp_path / f"cut{suffix}").read())
    assert capfd.readouterr() == ("", "")


def test_other_files_are_refused_with_what_to_do(tmp_path, capfd):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video" * 100, encoding="utf-8")
    content = write_lossless(tmp_path / "known.avi", drive_past(2)).read_bytes()
    (tmp_path / "unknown.avi").write_bytes(content.replace(b"FFV1", b"XYZ1"))
    reasons = {
        "empty.mp4": "is empty; copy it again",
        "text.mp4": "cannot be read as a video",
        "unknown.avi": "FFmpeg does not know its codec",
        "missing.mp4": "is no file",
        "http://127.0.0.1:9/a.mp4": "is no file",
    }

    for name, reason in reasons.items():
        with pytest.raises(MaskmillError, match=reason):
            Clip.of(tmp_path / name if ":" not in name else name)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_frames_is_refused(tmp_path):
    writer = ClipWriter(tmp_path / "none.avi", 10)
    writer.write(drive_past(1)[0])
    writer.release()
    content = (tmp_path / "none.avi").read_bytes()
    (tmp_path / "none.avi").write_bytes(content[: content.index(b"movi") + 4])

    with pytest.raises(MaskmillError, match=r"has no frame that can be read|cannot be read as a video"):
        list(Clip.of(tmp_path / "none.avi").read())

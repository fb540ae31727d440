"""What does the frame cache of `maskmill video` save on a video of a static camera, and are the masks the same?

A clip is drawn, 1280 × 720 pixels: a fixed scene in which two small objects move and, every third frame, stand still.
Ours goes through `FrameSegmenter`; theirs segments each frame as a picture of its own, as `maskmill predict` does. Both
take turns on every frame, with the same U-Net (ONNX Runtime, FP32), recipe and threads. Ratios are those of the
processors' seconds without decoding, which both sides need alike. Masks are compared pixel by pixel.

Clips: `lossless`, which is what the ratio is about, with tiles of 512 pixels (the default) and 256; `lossy`, the same
in MPEG-4, whose compression changes still parts too; `noisy`, with noise of σ = 1.5 grey levels and a tolerance of 10,
where masks are approximate. With tolerance 0 the bench fails where a mask differs.

    python bench/video.py [--frames 24] [--threads N] [--at-least 1] [--json FILE]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from inference import describe_machine, write_network

from maskmill.classes import Classes
from maskmill.files import write_json
from maskmill.inference.postprocess import OperatingPoint, Step
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.inference.sliding_window import LEVELS
from maskmill.inference.tiling import Tiling
from maskmill.video.cache import FrameSegmenter
from maskmill.video.clips import Clip

WIDTH, HEIGHT, SIDE, RATE = 1280, 720, 24, 10
NETWORK = {"width": 16, "depth": 4}


class Setting(NamedTuple):
    """A clip and how it is segmented: codec, noise (σ in grey levels), side of a tile, tolerance."""

    codec: str
    noise: float
    tile: int
    tolerance: int


SETTINGS = {
    "lossless, tiles of 512": Setting("FFV1", 0, 512, 0),
    "lossless, tiles of 256": Setting("FFV1", 0, 256, 0),
    "lossy": Setting("mp4v", 0, 512, 0),
    "noisy": Setting("FFV1", 1.5, 512, 10),
}


def draw_frames(count: int, noise: float) -> Iterator[np.ndarray]:
    """Frames, BGR uint8 (H, W, 3): fields and texture, two squares on their way, noise."""
    random = np.random.default_rng(0)
    fields = random.integers(40, 200, (HEIGHT // 80, WIDTH // 80, 3)).astype(np.uint8)
    scene = cv2.resize(fields, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    scene = cv2.add(scene, random.integers(0, 24, scene.shape).astype(np.uint8))
    for number in range(count):
        frame, moved = scene.copy(), number - number // 3
        for left, top, colour in ((40 + 6 * moved, 90, (30, 40, 220)), (1180, 600 - 5 * moved, (240, 240, 240))):
            frame[top : top + SIDE, left : left + SIDE] = colour
        if noise:
            frame = np.clip(frame + random.normal(0, noise, frame.shape), 0, 255).round().astype(np.uint8)
        yield frame


def write_clip(path: Path, setting: Setting, count: int) -> None:
    """Write the drawn clip as the setting says."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*setting.codec), RATE, (WIDTH, HEIGHT))
    for frame in draw_frames(count, setting.noise):
        writer.write(frame)
    writer.release()


def compare(setting: Setting, onnx: Path, folder: Path, count: int, threads: int) -> dict[str, Any]:
    """Seconds of both sides over a clip, tiles that ours computed, and how many pixels of all masks differ."""
    path = folder / f"clip{'.mp4' if setting.codec == 'mp4v' else '.avi'}"
    write_clip(path, setting, count)
    runtime = OnnxRuntime(onnx, threads)
    recipe = Recipe(
        Classes.from_config(["one"]),
        Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (0.45,) * 3, (0.22,) * 3),
        Tiling((1, setting.tile, setting.tile), 0.2, "gaussian", 4),
        False, 2, (1, 2 ** NETWORK["depth"], 2 ** NETWORK["depth"]),
        OperatingPoint((0.5,), (Step("remove_small", 1, 20),)),
    )  # fmt: skip
    # the network is not trained: with the median as threshold half of the pixels are foreground, in many small parts
    first = recipe.probabilities(next(Clip.of(path).read())[np.newaxis], runtime)
    point = replace(recipe.point, thresholds=(float(np.median(first)) / LEVELS,))
    recipe = replace(recipe, point=point)
    segmenter = FrameSegmenter(recipe, runtime, setting.tolerance)
    seconds, differing, foreground, frames = {"ours": 0.0, "theirs": 0.0}, 0, 0, 0
    for frame in Clip.of(path).read():
        start = time.process_time()
        ours = segmenter.mask(frame)
        middle = time.process_time()
        theirs = recipe.mask(frame[np.newaxis], runtime)[0]
        seconds["theirs"] += time.process_time() - middle
        seconds["ours"] += middle - start
        differing += int((ours != theirs).sum())
        foreground, frames = foreground + int((theirs > 0).sum()), frames + 1
    pixels = frames * WIDTH * HEIGHT
    return {
        **setting._asdict(),
        "frames": frames,
        "cpu_seconds_a_frame": {side: value / frames for side, value in seconds.items()},
        "ratio": seconds["theirs"] / seconds["ours"],
        "tiles_computed": segmenter.tiles.computed,
        "tiles_of_changed_frames": segmenter.tiles.asked,
        "foreground": foreground / pixels,
        "differing": differing / pixels,
    }


def _describe(name: str, one: dict[str, Any]) -> str:
    ours, theirs = (one["cpu_seconds_a_frame"][side] for side in ("ours", "theirs"))
    same = "masks the same" if one["differing"] == 0 else f"{one['differing']:.2%} of pixels differ"
    return f"{name}: {one['ratio']:.2f}, ours {ours:.3f}, theirs {theirs:.3f} CPU seconds a frame, {same}"


def main() -> None:
    """Run the bench, print its line and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24, help="of each clip")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--at-least", type=float, default=0, help="exit with 1 where a lossless clip is below")
    parser.add_argument("--json", type=Path, help="file for the results")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_network(folder, NETWORK)
        found = {
            name: compare(setting, folder / "model.onnx", folder, parsed.frames, parsed.threads)
            for name, setting in SETTINGS.items()
        }
    described = describe_machine(parsed.threads)
    if parsed.json:
        write_json(parsed.json, {**described, "network": NETWORK, "results": found})
    ratio = min(one["ratio"] for one in found.values() if one["codec"] == "FFV1" and not one["tolerance"])
    changed = [name for name, one in found.items() if one["differing"] and not one["tolerance"]]
    lines = "; ".join(_describe(name, one) for name, one in found.items())
    if changed:
        print(f"masks differ with tolerance 0: {', '.join(changed)}")
    print(f"video: ratio={ratio:.2f} ({lines}, {described['hardware']})")
    sys.exit(0 if ratio >= parsed.at_least and not changed else 1)


if __name__ == "__main__":
    main()

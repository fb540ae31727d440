"""`maskmill video`: the masks of a video's frames."""

import argparse
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.inference.artifacts import Artifact, add_artifact_options


def add_video_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `video` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("video", help="segment the frames of a video", description=_run.__doc__)
    command.add_argument("bundle", type=Path, help="results/NAME/experiments/EXPERIMENT/bundle, or a copy of it")
    command.add_argument("video", type=Path, metavar="IN", help="video file, in any codec that FFmpeg reads")
    command.add_argument("output", type=Path, metavar="OUT", help=".mp4, .avi or .webm file, with --masks a folder")
    command.add_argument("--masks", action="store_true", help="write the masks as 000001.png, 000002.png … into OUT")
    tolerance = "take pixels as unchanged that differ by at most so many of 255 grey levels: approximate (default: 0)"
    command.add_argument("--tolerance", type=int, default=0, metavar="LEVELS", help=tolerance)
    smoothing = "weight, from 0 to below 1, of the frames before in each frame's probabilities (default: 0)"
    command.add_argument("--smoothing", type=float, default=0.0, metavar="WEIGHT", help=smoothing)
    command.add_argument("--threads", type=int, help="compute threads (default: all cores; the masks are the same)")
    add_artifact_options(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Write a video with the masks of its frames on top (without sound), or a folder of masks.

    Only tiles that changed since the frame before are computed; the masks are the very same as without that. What is
    written is complete or not there.
    """
    from maskmill.deployment.bundle import load_bundle
    from maskmill.video.segmentation import segment_video

    if not 0 <= arguments.tolerance <= 255:
        raise MaskmillError(f"--tolerance is {arguments.tolerance}; give grey levels from 0 to 255")
    if not 0 <= arguments.smoothing < 1:
        raise MaskmillError(f"--smoothing is {arguments.smoothing:g}; give a weight from 0 to below 1")
    segment_video(
        load_bundle(arguments.bundle),
        arguments.video,
        arguments.output,
        arguments.masks,
        arguments.tolerance,
        arguments.smoothing,
        arguments.threads,
        Artifact(arguments.runtime, arguments.precision),
    )
    return 0

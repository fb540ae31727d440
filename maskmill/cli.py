"""The `maskmill` command: use a bundle without the pipeline."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from maskmill import __version__
from maskmill.annotating.import_command import add_import_command
from maskmill.errors import MaskmillError
from maskmill.evaluation.evaluate_command import add_evaluate_command
from maskmill.inference.artifacts import Artifact, add_artifact_options
from maskmill.logs import configure_logging
from maskmill.provenance.reproduce_command import add_reproduce_command
from maskmill.provenance.verify_command import add_verify_command
from maskmill.serving.app_command import add_app_command
from maskmill.serving.serve_command import add_serve_command
from maskmill.tracking.command import add_track_command
from maskmill.video.command import add_video_command

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 1 with the reason on standard error."""
    parsed = _parser().parse_args(arguments)
    configure_logging()
    try:
        return parsed.run(parsed)
    except MaskmillError as error:
        logger.error("%s", error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="maskmill", description="Use a segmentation model that Maskmill made.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="write the masks of pictures", description=_predict.__doc__)
    predict.add_argument("bundle", type=Path, help="results/NAME/experiments/EXPERIMENT/bundle, or a copy of it")
    places = "pictures or volumes, folders of them, or quoted patterns such as 'scenes/**/*.tif'"
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help=places)
    predict.add_argument("-o", "--output", type=Path, required=True, help="folder for the masks")
    predict.add_argument("--overlay", action="store_true", help="write <name>.overlay.png beside each mask")
    predict.add_argument(
        "--uncertainty",
        action="store_true",
        help="write <name>.uncertainty.png (of volumes .nii.gz), the entropy of each pixel, and uncertainty.csv, which "
        "lists what the model is least sure of first",
    )
    predict.add_argument(
        "--probabilities",
        action="store_true",
        help="write <name>.probabilities.npy, the 255-fold probability of each class; .tif where the mask is one",
    )
    predict.add_argument("--polygons", choices=("gpkg", "geojson"), help="write outlines beside each mask")
    predict.add_argument(
        "--tolerance", type=float, default=1, metavar="PX", help="how far outlines may lie from the mask's (default: 1)"
    )
    predict.add_argument("--threads", type=int, help="compute threads (default: all cores; the masks are the same)")
    add_artifact_options(predict)
    predict.set_defaults(run=_predict)
    add_video_command(commands)
    add_app_command(commands)
    add_evaluate_command(commands)
    add_verify_command(commands)
    add_reproduce_command(commands)
    add_import_command(commands)
    add_track_command(commands)
    add_serve_command(commands)
    return parser


def _predict(arguments: argparse.Namespace) -> int:
    """Write class indices (0 = background): of a picture a palette PNG, of a volume .nii.gz in its geometry.

    Of a picture on the map a GeoTIFF, of one of more than 134 million pixels a TIFF, both in tiles.

    Volumes are NIfTI files, folders of DICOM files and TIFF files of several pages. Masks of what a folder or pattern
    holds are named by its path below the folder, or below the folders that the pattern spells out. A picture that is
    missing or cannot be read is named at the end; the others get their masks. What lies in the folder for the masks is
    left out where a folder or pattern around it is given: it is of another run.
    """
    from maskmill.dag.pictures import find_pictures, is_pattern
    from maskmill.deployment.bundle import load_bundle
    from maskmill.deployment.segmentation import Extras, check_output, segment_pictures

    addresses = [place for place in arguments.pictures if "://" in place]
    if addresses:
        raise MaskmillError(
            f"pictures are files, and nothing is downloaded: {', '.join(addresses)}. Fetch them first, then name files"
        )
    missing = [place for place in arguments.pictures if not Path(place).exists() and not is_pattern(place)]
    pictures = find_pictures((place for place in arguments.pictures if place not in missing), arguments.output)
    if arguments.tolerance < 0:
        raise MaskmillError(f"--tolerance is {arguments.tolerance}; give a number of pixels, 0 for the mask's outlines")
    extras = Extras(
        arguments.overlay, arguments.polygons, arguments.tolerance, arguments.uncertainty, arguments.probabilities
    )
    check_output(pictures, arguments.output, extras)
    bundle, artifact = load_bundle(arguments.bundle), Artifact(arguments.runtime, arguments.precision)
    failed = [(place, "there is no such file or folder") for place in missing]
    failed += segment_pictures(bundle, pictures, arguments.output, arguments.threads, extras, artifact)
    total, made = len(missing) + len(pictures), len(missing) + len(pictures) - len(failed)
    if made:
        logger.info("%s in %s", "1 mask is" if made == 1 else f"{made} masks are", arguments.output)
    if failed:
        reasons = "\n".join(f"  - {file}: {reason}" for file, reason in failed)
        verb = "has" if len(failed) == 1 else "have"
        raise MaskmillError(f"{len(failed)} of {total} pictures {verb} no mask:\n{reasons}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

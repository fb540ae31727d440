"""`maskmill import`: annotations of any format as labelme's files."""

import argparse
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskmill.errors import MaskmillError

_OPTIONS = {
    r'(?:dataset\.source\.)?"?\bformat: (\w+)"?': r"--format \1",
    r"dataset\.source\.format": "--format",
    r"(?:dataset\.source\.)?\b(image|annotation)_pattern\b": r"--\1-pattern",
    r"dataset\.source\.label_field": "--label-field",
    r"dataset\.source\.images": "--images",
    r"dataset\.source\.annotations": "SOURCE",
    r"dataset\.source\b": "SOURCE or --images",
    r",? or to a list in dataset\.background": "",
    r'as a mapping of [^,]+, such as \{([^{}:]+): "(#\w{6})"\}': r"as NAME=COLOUR, such as \1=\2",
    r"as a list of names: \[([^\]]+)\]": lambda match: f"as {match[1].replace(', ', ',')}",
    r"dataset\.classes": "--classes",
}
"""Options of the command in place of those of a config, which messages name; in this order."""

logger = logging.getLogger(__name__)


def add_import_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `import` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("import", help="convert annotations to labelme's files", description=_run.__doc__)
    command.add_argument("source", type=Path, metavar="SOURCE", help="folder of the annotations, or one file of all")
    command.add_argument("--to", choices=["labelme"], required=True, help="format to write")
    command.add_argument("-o", "--output", type=Path, required=True, help="folder for the files, not there or empty")
    command.add_argument("--images", type=Path, help="folder of the pictures (default: that of SOURCE)")
    command.add_argument("--format", default="auto", help="format of SOURCE (default: recognise it)")
    classes = "what the values 1, 2, ... of masks, or their colours, are called: a,b or a=#rrggbb,b=#rrggbb"
    command.add_argument("--classes", type=parse_classes, default=(), help=classes)
    command.add_argument("--label-field", default="label", help="property of map features that holds their label")
    command.add_argument("--image-pattern", help='such as "{site}/images/{stem}.jpg", where the two trees differ')
    command.add_argument("--annotation-pattern", help='such as "{site}/masks/{stem}.png"')
    command.add_argument("--masks", action="store_true", help="keep masks as labelme's mask shapes, not as polygons")
    spacing = "simplify the outlines of masks to vertices about so many pixels apart (default: exact outlines)"
    command.add_argument("--spacing", type=float, default=0, metavar="PIXELS", help=spacing)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Convert annotations of any format that Maskmill reads to labelme's JSON, one file for each picture."""
    from maskmill.annotating.importing import Drawing, import_annotations
    from maskmill.annotations.formats import FORMATS, LabelOptions

    if arguments.format not in ("auto", *FORMATS):
        raise MaskmillError(f'--format "{arguments.format}" is unknown; use {", ".join(FORMATS)} or auto')
    if not arguments.source.exists():
        raise MaskmillError(f"{arguments.source}: there is no such file or folder")
    folder = arguments.source if arguments.source.is_dir() else arguments.source.parent
    source = {
        "format": arguments.format,
        "images": str(arguments.images or folder),
        "annotations": str(arguments.source),
        "image_pattern": arguments.image_pattern,
        "annotation_pattern": arguments.annotation_pattern,
    }
    options = LabelOptions(arguments.classes, label_field=arguments.label_field, instances=True)
    drawing = Drawing(arguments.masks, arguments.spacing)
    try:
        written = import_annotations(source, options, arguments.output, drawing)
    except MaskmillError as error:
        raise MaskmillError(in_options(str(error))) from error
    logger.info("%d %s in %s", written, "file is" if written == 1 else "files are", arguments.output)
    return 0


def in_options(message: str) -> str:
    """A message on the options of a config as one on the options of this command."""
    for key, option in _OPTIONS.items():
        message = re.sub(key, option, message)
    return message


def parse_classes(text: str) -> Sequence[str] | Mapping[str, str]:
    """`dataset.classes` from a command line: "a,b" is a list, "a=#rrggbb,b=#rrggbb" a mapping to colours."""
    names = [part.strip() for part in text.split(",")]
    colours = [name.rpartition("=") for name in names if "=#" in name]
    if not all(names) or (colours and len(colours) < len(names)):
        raise argparse.ArgumentTypeError(f'"{text}" is neither a,b nor a=#rrggbb,b=#rrggbb')
    return {name: colour for name, _, colour in colours} if colours else names

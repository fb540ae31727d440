"""Palettes of masks whose indices are classes: a colour has to stand for the same index in all of them.

Programs that reduce colours write a palette of its own for every picture, often by frequency. The index of a class then
differs from file to file, though every file looks right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from maskmill.imaging.signatures import PILLOW_FORMATS
from maskmill.wording import count_of

PALETTE_COLUMNS = ("id", "file", "index", "colour")

_REMEDY = (
    "where every file has a palette of its own, indices mean nothing: write dataset.classes as a mapping of the names "
    'to the colours of the palettes, such as {building: "#3c1098"}'
)


def palette_rows(
    sample: Mapping[str, str], classes: Sequence[str] | Mapping[str, str], pixels: Sequence[int]
) -> list[dict[str, str | int]]:
    """Index and colour of every class on the mask of a sample, if it has a palette and `classes` are a list.

    pixels: number of pixels of each of the 256 label values. A colour that several classes have is left out.
    """
    if sample["format"] != "png" or isinstance(classes, Mapping):
        return []
    from PIL import Image  # problems are collected by what has the standard library alone

    try:
        with Image.open(sample["annotation"], formats=PILLOW_FORMATS) as image:
            palette = image.getpalette("RGB") if image.mode == "P" else None
    except OSError:  # a page of a stack, or a kind of TIFF that Pillow does not know
        return []
    present = [index for index in range(1, len(classes) + 1) if pixels[index] and 3 * index + 2 < len(palette or ())]
    colours = {index: "#" + bytes(palette[3 * index : 3 * index + 3]).hex() for index in present}
    times = Counter(colours.values())
    return [
        {"id": sample["id"], "file": sample["annotation"], "index": index, "colour": colour}
        for index, colour in colours.items()
        if times[colour] == 1
    ]


def palette_mismatches(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[Mapping[str, str], str, str]]:
    """Of the rows of `palette_rows` those whose colour has another index than in most masks, with detail and remedy."""
    by_colour = defaultdict(list)
    for row in rows:
        by_colour[row["colour"]].append(row)
    for colour, members in sorted(by_colour.items()):
        counts = Counter(int(row["index"]) for row in members)
        usual = min(counts, key=lambda index: (-counts[index], index))
        others = f"in {count_of(counts[usual], 'other')}"
        for row in members:
            if int(row["index"]) != usual:
                yield row, f"{colour} has the index {row['index']} here, but {usual} {others}", _REMEDY

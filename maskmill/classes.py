"""The classes of a task: names, indices and colours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskmill.errors import MaskmillError

BACKGROUND = 0
"""Value of a label pixel that belongs to no class."""

IGNORE = 255
"""Value of a label pixel that nothing learns from and nothing is measured on."""

IGNORE_LABEL = "__ignore__"
"""Label of shapes that are drawn as `IGNORE`."""

BACKGROUND_LABEL = "_background_"
"""Label of shapes that are drawn as `BACKGROUND`, over what lies below."""

MAX_CLASSES = 254

# Okabe & Ito (2008), "Color Universal Design": told apart by colour-blind readers too. Repeated beyond eight classes.
DEFAULT_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


@dataclass(frozen=True)
class Classes:
    """Foreground classes in index order: `names[i]` has label value i + 1 and colour `colours[i]` (RGB, 0–255)."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @classmethod
    def from_config(cls, classes: Sequence[str] | Mapping[str, str]) -> "Classes":
        """Read the `dataset.classes` option: a list of names, or a mapping of names to "#rrggbb" colours.

        Raises MaskmillError for duplicate names or colours and for more than 254 classes.
        """
        names = tuple(classes)
        if isinstance(classes, Mapping):
            colours = tuple(parse_colour(classes[name]) for name in names)
            if twice := _repeated(colours):
                alike = [name for name, colour in zip(names, colours, strict=True) if colour in twice]
                raise MaskmillError(f"dataset.classes gives {', '.join(alike)} the same colour; give each its own")
        else:
            colours = tuple(parse_colour(DEFAULT_COLOURS[i % len(DEFAULT_COLOURS)]) for i in range(len(names)))
        if twice := _repeated(names):
            raise MaskmillError(f"dataset.classes names a class twice: {', '.join(twice)}; name each once")
        if "mean" in names:
            raise MaskmillError("dataset.classes has a class called mean, which tables use for the mean; rename it")
        if not 1 <= len(names) <= MAX_CLASSES:
            raise MaskmillError(f"dataset.classes has {len(names)} classes; 1 to {MAX_CLASSES} are possible")
        return cls(names, colours)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_list(cls, classes: Sequence[Mapping[str, str]]) -> "Classes":
        """The inverse of `as_list`."""
        return cls(tuple(one["name"] for one in classes), tuple(parse_colour(one["colour"]) for one in classes))

    def as_list(self) -> list[dict[str, str]]:
        """Name and "#rrggbb" colour of each class in index order, for files, which need not keep a mapping's order."""
        return [{"name": name, "colour": colour} for name, colour in self.as_dict().items()]

    def as_dict(self) -> dict[str, str]:
        """The mapping of names to "#rrggbb" colours that `from_config` reads; `as_list` is for files."""
        return {name: f"#{bytes(colour).hex()}" for name, colour in zip(self.names, self.colours, strict=True)}

    def index(self, name: str) -> int:
        """Label value of the class called `name`; ValueError if there is none."""
        return self.names.index(name) + 1

    @property
    def shown_colours(self) -> tuple[tuple[int, int, int], ...]:
        """Colours for figures and label images: the classes' own, but a default one for black, which is background."""
        spare = (parse_colour(colour) for colour in DEFAULT_COLOURS)
        return tuple(next(spare) if colour == (0, 0, 0) else colour for colour in self.colours)

    def palette(self) -> list[int]:
        """768 values (256 RGB triples) for a palette PNG: black background, class colours, white for ignore."""
        palette = [0] * 768
        for value, colour in enumerate(self.shown_colours, 1):
            palette[3 * value : 3 * value + 3] = colour
        palette[3 * IGNORE :] = [255, 255, 255]
        return palette


def _repeated(values: Sequence) -> list:
    return [value for value, count in Counter(values).items() if count > 1]


def parse_colour(text: str) -> tuple[int, int, int]:
    """RGB triple (0–255) of a "#rrggbb" colour; MaskmillError if it is not one."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise MaskmillError(f'"{text}" is not a colour; write six hexadecimal digits such as "#3c1098"')
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)

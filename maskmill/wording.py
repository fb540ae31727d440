"""Numbers in sentences for people."""


def count_of(number: int, one: str, many: str | None = None) -> str:
    """So many things, such as "1 class" and "2 classes"; many: where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def signed(value: float, decimals: int = 3) -> str:
    """A difference, such as "+0.020" and "−0.004"; "0.000" where nothing is left of it."""
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"

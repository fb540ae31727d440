"""Numbers in sentences for people."""


def count_of(number: int, one: str, many: str | None = None) -> str:
    """So many things, such as "1 class" and "2 classes"; many: where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"

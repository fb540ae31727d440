"""What a service bears: size and number of requests, and how long they may take. Standard library alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a service.

    megabytes: of an upload. megapixels: of a picture, million voxels of a volume. at_once: pictures in work at a time,
    which bounds memory. waiting: further ones that are being sent or wait for their turn. upload_seconds: for a whole
    request to arrive. seconds: for waiting and work together.
    """

    megabytes: float = 100.0
    megapixels: float = 100.0
    at_once: int = 4
    waiting: int = 32
    upload_seconds: float = 30.0
    seconds: float = 120.0


DEFAULTS = Limits()

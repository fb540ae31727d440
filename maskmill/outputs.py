"""Whether what a command makes can be written, told before the work begins."""

import os
from pathlib import Path

from maskmill.errors import MaskmillError


def require_writable(folder: Path) -> None:
    """Raise MaskmillError where nothing could be written into a folder, which need not exist yet."""
    place = folder
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise MaskmillError(f"{folder} cannot be a folder to write to, since {place} is a file; name another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MaskmillError(f"{folder} cannot be written: no permission for {place}; name another folder")


def require_writable_file(path: Path) -> None:
    """Raise MaskmillError where a file could not be written; its folder need not exist yet."""
    if path.is_dir():
        raise MaskmillError(f"{path} is a folder; name a file")
    require_writable(path.parent)

"""A disk on which files cannot grow beyond a size: what is written further fails in part or as a whole."""

import resource
from contextlib import contextmanager


@contextmanager
def limited_files(size):
    """Let no file of this process grow beyond `size` bytes. As on a full disk, a write may be done in part."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

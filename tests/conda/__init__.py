"""A `conda` for tests, which need no channel on the net, and interpreters that hold named packages alone."""

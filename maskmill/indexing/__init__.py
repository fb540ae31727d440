"""The index of a data set: which format, which files, what goes with what, what belongs together."""

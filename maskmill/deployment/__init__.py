"""The bundle: packing it, and segmenting pictures with it."""

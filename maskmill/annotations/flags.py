"""Check marks of labelme that have a meaning here. Standard library alone, for the planning of the workflow too."""

HOLE = "hole"
"""Of a polygon: it is a hole of the polygon of its label, and group, that it lies in."""

PROPOSED = "proposed"
"""Of a file: a model drew it and nobody has confirmed it yet."""

EMPTY = "empty"
"""Of a file: there is nothing on the picture. labelme saves a file without shapes once a mark of it is set."""

"""Annotations of a picture: one reader per format, all of which give an `Annotation`."""

"""Maskmill: annotated pictures in, a deployed segmentation model out."""

__version__ = "0.1.0"

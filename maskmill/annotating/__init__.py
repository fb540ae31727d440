"""Annotating from the workflow: labelme sessions, proposals of a model, conversion of other formats."""

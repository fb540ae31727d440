"""When TensorRT engines are planned."""

import importlib.util

import pytest

from maskmill.dag.backends import plans_engines


@pytest.mark.parametrize(
    ("wanted", "gpu", "installed", "planned"),
    [
        ("auto", True, True, True),
        ("auto", True, False, False),
        ("auto", False, True, False),
        (True, False, False, True),  # a login node has neither
        (False, True, True, False),
    ],
)
def test_engines_are_planned_where_they_can_be_built_or_are_asked_for(wanted, gpu, installed, planned, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)

    assert plans_engines(wanted, gpu) is planned

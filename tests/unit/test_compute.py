"""Threads, precision and device."""

import os

import pytest
import torch

from maskmill.compute import describe_compute, resolve_compute
from maskmill.errors import MaskmillError

AUTO = {"threads": "auto", "precision": "auto"}


def test_auto_takes_the_cores_this_process_may_use():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert resolve_compute(AUTO, "cpu")["threads"] == cores
    assert resolve_compute(AUTO | {"threads": 3}, "cpu")["threads"] == 3


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "32")],
)
def test_auto_precision_is_bf16_where_the_cpu_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_compute(AUTO, "cpu")["precision"] == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_precision_on_a_gpu(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert resolve_compute(AUTO, "cuda") == {
        "threads": resolve_compute(AUTO, "cpu")["threads"],
        "precision": expected,
        "device": "cuda",
    }


def test_a_number_or_a_text_asks_for_32_bits():
    assert resolve_compute(AUTO | {"precision": 32}, "cpu")["precision"] == "32"
    assert resolve_compute(AUTO | {"precision": "32"}, "cpu")["precision"] == "32"


def test_impossible_precisions_are_refused():
    with pytest.raises(MaskmillError, match="fp16 needs a GPU"):
        resolve_compute(AUTO | {"precision": "fp16"}, "cpu")
    with pytest.raises(MaskmillError, match="possible are auto, 32, bf16, fp16"):
        resolve_compute(AUTO | {"precision": "64"}, "cpu")


def test_description():
    described = describe_compute({"threads": 2, "precision": "32", "device": "cpu"})
    assert described["torch"] == torch.__version__
    assert described["hardware"].endswith(", 2 threads")

"""Which TensorRT there may be, and whether to plan its engines. Standard library alone: used while planning."""

import importlib.util

BACKENDS = {
    "tensorrt": (("tensorrt",), "pip install tensorrt-cu13 cuda-bindings"),
    "tensorrt_rtx": (
        ("tensorrt_rtx", "tensorrt_rtx_bindings"),
        "pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs cuda-bindings",
    ),
}
"""Of each backend the modules that may hold it, and how to install it; what comes first is taken where both are."""


def plans_engines(wanted: bool | str, gpu: bool) -> bool:
    """Whether engines are planned. wanted: the option `export.tensorrt`; gpu: whether there is one here.

    "auto" plans them where both a GPU and TensorRT are, and True anywhere: the node that plans may have neither.
    """
    if wanted != "auto":
        return bool(wanted)
    modules = [module for names, _ in BACKENDS.values() for module in names]
    return gpu and any(importlib.util.find_spec(module) for module in modules)

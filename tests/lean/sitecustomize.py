"""Keep slow imports out of a process that a test starts (see ``conftest.py`` of the project)."""

import importlib
import sys
import types

sys.modules["torch_geometric"] = None  # type: ignore[assignment]  # an import raises ModuleNotFoundError

# torch imports its compiler at the first step of an optimizer, only to exempt that step from compilation
compiler = types.ModuleType("torch._dynamo")
compiler.disable = lambda function, *args, **kwargs: function
compiler.graph_break = lambda: None


def whole(name):
    """Import the compiler after all where something else of it is asked for."""
    if name.startswith("__") and name != "__path__":
        raise AttributeError(name)
    if sys.modules["torch._dynamo"] is compiler:
        del sys.modules["torch._dynamo"]
    return getattr(importlib.import_module("torch._dynamo"), name)


compiler.__getattr__ = whole
sys.modules["torch._dynamo"] = compiler

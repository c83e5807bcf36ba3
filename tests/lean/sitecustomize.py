"""Hide torch_geometric from a process that a test starts (see ``conftest.py`` of the project)."""

import sys

sys.modules["torch_geometric"] = None  # type: ignore[assignment]  # an import raises ModuleNotFoundError

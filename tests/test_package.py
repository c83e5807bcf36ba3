import importlib
import pkgutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import robustxai

ROOT = Path(robustxai.__file__).parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages(robustxai.__path__, "robustxai."))


def loaded_by(*statements):
    """Return the names of all modules after each of the statements, which run in one new interpreter."""
    code = "import sys\n" + "\n".join(f"{statement}\nprint(*sys.modules)" for statement in statements)
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [set(line.split()) for line in printed.stdout.splitlines()]


def test_the_import_is_lean():
    dependencies, loaded, most, everything = loaded_by(
        "import pandas, skorch, sklearn.linear_model, torch",  # scikit-learn 1.9 loads rich
        "import robustxai",
        "import robustxai.attacks, robustxai.model_selection, robustxai.inspection",
        "import robustxai.cli",
    )
    assert "robustxai.classifiers" in loaded
    unused = {"optuna", "matplotlib", "typer", "rich", "pandas.plotting._matplotlib"}
    own = {
        f"robustxai.{name}" for name in ("attacks", "benchmark", "cli", "experiments", "inspection", "model_selection")
    }
    assert not (loaded - dependencies) & (unused | own)
    assert not most & {"optuna", "matplotlib", "typer"}
    assert {"typer", "robustxai.cli"} <= everything  # what is looked for would be seen


@pytest.mark.parametrize("name", ["robustxai", *MODULES])
def test_every_public_name_exists(name):
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [])
    assert len(set(public)) == len(public)
    assert [n for n in public if not hasattr(module, n)] == []


@pytest.mark.parametrize("name", [m for m in MODULES if not m.rpartition(".")[2].startswith("_")])
def test_every_folder_is_a_door(name):
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        assert module.__all__
        assert module.__doc__


def test_types_are_shipped():
    assert resources.files("robustxai").joinpath("py.typed").is_file()


def test_imports_go_one_way():
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    result = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout

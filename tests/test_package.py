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


def loaded_by(code):
    """Names of all modules after `code` has run in a new interpreter."""
    printed = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(printed.stdout.split())


def test_the_import_is_lean():
    loaded = loaded_by("import robustxai")
    assert "robustxai.classifiers" in loaded
    unused = {"optuna", "matplotlib", "typer", "rich", "pandas.plotting._matplotlib"}
    own = {
        f"robustxai.{name}" for name in ("attacks", "benchmark", "cli", "experiments", "inspection", "model_selection")
    }
    dependencies = loaded_by("import pandas, skorch, sklearn.linear_model, torch")  # scikit-learn 1.9 loads rich
    assert not (loaded - dependencies) & (unused | own)
    assert not loaded & {"optuna", "matplotlib"}
    assert {"typer", "robustxai.cli"} <= loaded_by("import robustxai.cli")  # what is looked for would be seen


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

"""No module of the library imports a private module of another folder; folders meet through their ``__init__``.

A private module belongs to the modules of its folder and of the folders below it: `robustxai._arguments` to all,
`robustxai.experiments._x` to `robustxai.experiments` and its folders.
"""

import ast
from pathlib import Path

import pytest

import robustxai

ROOT = Path(robustxai.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def package_of(path):
    """Return the folder of a file as a dotted name."""
    return ".".join((ROOT.name, *path.relative_to(ROOT).parent.parts))


def imported(tree, package):
    """Yield the dotted name of everything that the imports of a module name, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def private_owner(name):
    """Return the folder that a private module or name belongs to, None where all of `name` is public."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.startswith("_") and not part.endswith("__"):
            return ".".join(parts[:place])
    return None


def violations(source, package):
    """Return the private names of other folders that the source of a module imports."""
    found = []
    for name in imported(ast.parse(source), package):
        owner = private_owner(name)
        if name.split(".")[0] == ROOT.name and owner is not None and not f"{package}.".startswith(f"{owner}."):
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from robustxai.attacks import ERAttack", []),
        ("from robustxai.attacks._er import ERAttack", ["robustxai.attacks._er.ERAttack"]),
        ("from robustxai.attacks import _er", ["robustxai.attacks._er"]),
        ("def f():\n    import robustxai.attacks._er", ["robustxai.attacks._er"]),
        ("from ..attacks._er import ERAttack", ["robustxai.attacks._er.ERAttack"]),
        ("from robustxai._arguments import COUNT", []),
        ("from robustxai.metrics._jacobian import jacobian\nfrom ._x import y\nfrom . import _z", []),
        ("from robustxai import __version__", []),
        ("from numpy._core import multiarray", []),
    ],
)
def test_the_rule_finds_what_it_should(source, found):
    assert violations(source, "robustxai.metrics") == found


def test_no_module_imports_a_private_module_of_another_folder():
    found = {
        f"{path.relative_to(ROOT).as_posix()} imports {name}"
        for path in FILES
        for name in violations(path.read_text(encoding="utf-8"), package_of(path))
    }
    assert found == set()

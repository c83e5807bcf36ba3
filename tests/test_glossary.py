"""Public names use the words of docs/glossary.md, and none that the page replaces."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path

import pytest

import robustxai
from robustxai.benchmark import BaseCell

ROOT = Path(robustxai.__file__).parents[1]
PAGE = ROOT / "docs" / "glossary.md"
PREFIX = f"{robustxai.__name__}."
MODULES = [
    importlib.import_module(name)
    for name in sorted({robustxai.__name__, *(m.name for m in pkgutil.walk_packages(robustxai.__path__, PREFIX))})
    if not any(part.startswith("_") for part in name.split("."))
]


def table(heading):
    """Return the first and last cells of the rows of the table below a heading of the page."""
    lines = PAGE.read_text(encoding="utf-8").split(f"# {heading}\n")[1].split("\n#")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [(row[0].strip(" `"), row[-1]) for row in rows[2:]]


def never(heading):
    """Return the words of the last column of the table below a heading of the page."""
    return {word.strip(" `") for _, words in table(heading) for word in words.split(",")} - {""}


PARAMETERS, TERMS, BRITISH = map(never, ("Parameters", "Terms", "Spelling"))
EXCEPTIONS = {place for place, _ in table("Exceptions")}


def is_theirs(owner, name):
    """Return whether a method is a hook of another library, whose parameters have the names of that library."""
    bases = inspect.getmro(owner)[1:] if inspect.isclass(owner) else ()
    return any(name in vars(base) for base in bases if not base.__module__.startswith(PREFIX) and base is not object)


def public_callables():
    """Yield (dotted name, class or None, callable) of what the modules export, with the public methods of classes."""
    seen = set()
    for module in MODULES:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not callable(value) or id(value) in seen or not getattr(value, "__module__", "").startswith(PREFIX):
                continue
            seen.add(id(value))
            yield f"{module.__name__}.{name}", value if inspect.isclass(value) else None, value
            for method, function in vars(value).items() if inspect.isclass(value) else ():
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and not method.startswith("_") and not is_theirs(value, method):
                    yield f"{module.__name__}.{name}.{method}", value, function


CALLABLES = list(public_callables())


def parameters():
    """Yield (where, class or None, parameter)."""
    for where, owner, value in CALLABLES:
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            continue
        for parameter in signature.parameters.values():
            yield f"{where}({parameter.name})", owner, parameter


def public_names():
    """Yield (where, name) of modules, of what they export, and of methods, attributes, fields and parameters."""
    for module in MODULES:
        yield module.__name__, module.__name__
        yield from ((f"{module.__name__}.{name}", name) for name in getattr(module, "__all__", ()))
    for where, owner, value in CALLABLES:
        yield where, where.rpartition(".")[2]
        if owner is value:
            public = (name for name in vars(owner) if not name.startswith("_"))
            yield from ((f"{where}.{name}", name) for name in public if not is_theirs(owner, name))
            if dataclasses.is_dataclass(owner):
                yield from ((f"{where}.{field.name}", field.name) for field in dataclasses.fields(owner))
    yield from ((where, parameter.name) for where, _, parameter in parameters())


def choices():
    """Yield (where, text) of all strings that an argument may be: of the Literal aliases, and of defaults."""
    from robustxai import protocols

    for name in protocols.__all__:
        for choice in typing.get_args(getattr(protocols, name)):
            if isinstance(choice, str):
                yield f"robustxai.protocols.{name}", choice
    yield from ((where, p.default) for where, _, p in parameters() if isinstance(p.default, str))


def words_of(name):
    """Return a name in lower case with its parts between underscores: SmoothGrad is _smooth_grad_."""
    return "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower().strip("_") + "_"


def has_term(name, term):
    """Return whether a name has a word, in the singular or plural, on its own."""
    return re.search(rf"_{term}(s|es)?_", words_of(name)) is not None


@pytest.mark.parametrize(
    ("name", "term", "expected"),
    [
        ("Victim", "victim", True),
        ("attacked_victims", "victim", True),
        ("classroom", "room", False),
        ("rooms", "room", True),
        ("StandInNet", "stand_in", True),
        ("lookahead", "ahead", False),
    ],
)
def test_a_term_is_found_as_a_word(name, term, expected):
    assert has_term(name, term) == expected


def test_the_page_has_words_and_the_library_has_names():
    assert {"ball", "n_samples", "eps"} <= PARAMETERS
    assert {"victim", "stand_in"} <= TERMS
    assert "centre" in BRITISH
    assert len({parameter.name for *_, parameter in parameters()}) > 150


def test_parameters_are_the_words_of_the_glossary():
    found = {where for where, _, parameter in parameters() if parameter.name in PARAMETERS}
    for where, owner, value in CALLABLES:
        if owner is value and dataclasses.is_dataclass(owner):
            found |= {f"{where}({f.name})" for f in dataclasses.fields(owner) if f.name in PARAMETERS}
    found = {where.rpartition(".")[2] for where in found}
    assert found - EXCEPTIONS == set()
    assert found >= EXCEPTIONS, "remove from the page what is no longer there"


def test_seeds_and_data_are_of_cells_and_studies():
    """Everything else has a random_state and X."""
    found = {
        where.rpartition(".")[2]
        for where, owner, parameter in parameters()
        if parameter.name in ("seed", "data") and not where.startswith(f"{PREFIX}experiments.")
        if owner is None or not (issubclass(owner, BaseCell) or hasattr(owner, "cells"))
    }
    assert found - EXCEPTIONS == set()


def test_no_public_name_has_a_word_that_the_glossary_replaces():
    found = {where for where, name in public_names() for term in TERMS if has_term(name, term)}
    assert found == set()


def test_names_and_choices_are_spelled_the_american_way():
    texts = [*public_names(), *choices()]
    found = {where for where, text in texts for word in BRITISH if word in words_of(text)}
    assert found == set()


@pytest.mark.parametrize("folder", ["robustxai", "docs"])
def test_text_is_spelled_the_american_way(folder):
    files = [p for ext in ("py", "md") for p in sorted((ROOT / folder).rglob(f"*.{ext}")) if p != PAGE]
    pattern = re.compile("(?!Greys)(" + "|".join(sorted(BRITISH)) + ")", re.IGNORECASE)  # a color map of matplotlib
    found = {
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := pattern.search(line))
    }
    assert found == set()

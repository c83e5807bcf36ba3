"""What has one fingerprint, and what has another; in this process and in others."""

import cmath
import functools
import math
import os
import re
import runpy
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

from robustxai import R2ETClassifier, SoftplusClassifier
from robustxai._fingerprint import content_key, fingerprint, read_once
from robustxai.attacks import AutoExplanationAttack, ERAttack
from robustxai.benchmark import ATTACKS
from robustxai.perturbation import ThreatModel


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple = ()


class Plain:
    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Kind(Enum):
    ONE = 1
    TWO = 2


def number(value=1):
    return value


def fitted(seed):
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    return SoftplusClassifier(max_epochs=1, module__hidden=(3,), random_state=seed).fit(X, X[:, 0] > 0)


#: Pairs of which the two have different fingerprints.
DIFFERENT = {
    "int, float": (1, 1.0),
    "int, bool": (1, True),
    "int, str": (1, "1"),
    "str, bytes": ("a", b"a"),
    "none, str": (None, "None"),
    "numbers": (0.1, 0.1 + 1e-17 + 2e-17),
    "list, tuple": ([1], (1,)),
    "nesting": ([1, [2]], [[1], 2]),
    "lengths": (["ab", "c"], ["a", "bc"]),
    "order of a list": ([1, 2], [2, 1]),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "value of a dict": ({"a": 1}, {"a": 2}),
    "set": ({"a", "b"}, {"a", "c"}),
    "array, list": (np.array([1, 2]), [1, 2]),
    "array type": (np.array([1, 2]), np.array([1.0, 2.0])),
    "array shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "array value": (np.arange(4.0), np.arange(4.0) + np.eye(1, 4)[0] * 1e-9),
    "objects in an array": (np.array(["a", None], dtype=object), np.array(["a", "b"], dtype=object)),
    "scalar type": (np.float32(1), np.float64(1)),
    "tensor": (torch.arange(3.0), torch.arange(3.0) + 1),
    "tensor type": (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
    "frame value": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    "frame names": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
    "frame index": (pd.DataFrame({"a": [1]}, index=[0]), pd.DataFrame({"a": [1]}, index=[1])),
    "categories": (pd.Series(["a"], dtype="category"), pd.Series(pd.Categorical(["a"], ["a", "b"]))),
    "text": (pd.Series(["a", "b"]), pd.Series(["a", None])),
    "dataclass": (Point(1.0), Point(1.0, (2,))),
    "object": (Plain(1), Plain(2)),
    "slots": (Slotted(1), Slotted(2)),
    "class of an object": (Plain(1), Slotted(1)),
    "enum": (Kind.ONE, Kind.TWO),
    "random state": (np.random.RandomState(0), np.random.RandomState(1)),
    "partial": (functools.partial(number, 1), functools.partial(number, 2)),
    "cached function": (functools.lru_cache(lambda: 1), functools.lru_cache(lambda: 2)),
    "built-in functions of one name": (math.exp, cmath.exp),
    "ufunc": (np.exp, np.tanh),
    "pattern": (re.compile("a"), re.compile("b")),
    "bound method": (Plain(1).__init__, Plain(2).__init__),
    "classmethod": (classmethod(lambda cls: 1), classmethod(lambda cls: 2)),
    "property": (property(lambda self: 1), property(lambda self: 2)),
    "module, weights": (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)),
    "module, kind": (torch.nn.ReLU(), torch.nn.Tanh()),
    "scaler": (StandardScaler(), StandardScaler(with_mean=False)),
    "trees": (HistGradientBoostingClassifier(random_state=0), HistGradientBoostingClassifier(random_state=1)),
    "nested estimator": (ERAttack(StandardScaler()), ERAttack(StandardScaler(with_std=False))),
    "attack": (ERAttack(k=8), ERAttack(k=7)),
    "attack, default spelled out otherwise": (ERAttack(), ERAttack(max_iter=101)),
    "threat": (ERAttack(threat=ThreatModel(0.5)), ERAttack(threat=ThreatModel(0.5, norm="inf"))),
    "array in a threat": (ThreatModel(scale=np.ones(3)), ThreatModel(scale=np.full(3, 2.0))),
    "preset": (AutoExplanationAttack(preset="fast"), AutoExplanationAttack(preset="strong")),
    "classifier": (R2ETClassifier(), R2ETClassifier(lambda_gap=0.5)),
    "any parameter of skorch": (R2ETClassifier(), R2ETClassifier(module__hidden=(3,))),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_another_fingerprint(name):
    first, second = DIFFERENT[name]
    assert fingerprint(first) == fingerprint(first)
    assert fingerprint(first) != fingerprint(second)


def test_what_cannot_be_read_shares_its_key_with_nothing(tmp_path):
    with open(tmp_path / "a", "w") as file:
        assert content_key(file) != content_key(file)
    assert content_key(Plain(1)) == content_key(Plain(1)) != content_key(Plain(2))


def test_equal_values_that_are_other_objects_have_one():
    def build():
        return {
            "numbers": [1, 0.1, float("nan"), np.float32(3)],
            "array": np.arange(6).reshape(2, 3),
            "frame": pd.DataFrame({"a": [1.5, None], "b": pd.Categorical(["x", "y"])}),
            "set": {"a", "b", ("c", 1)},
            "objects": (Plain([1, 2]), Slotted("s"), Point(2.0), Kind.TWO),
            "attack": ERAttack(threat=ThreatModel(scale=np.ones(2))),
            "classifier": R2ETClassifier(k=3),
            "random": np.random.RandomState(3),
            "view": np.arange(12).reshape(3, 4)[::2, ::3],
        }

    assert fingerprint(build()) == fingerprint(build())
    # an array by what it holds, not by how it lies in memory
    assert fingerprint(np.arange(6).reshape(2, 3)) == fingerprint(np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert fingerprint(ERAttack()) == fingerprint(ERAttack(k=8))


def test_a_fitted_network_counts_and_the_time_that_its_training_took_does_not():
    assert fingerprint(fitted(0)) == fingerprint(fitted(0))
    assert fingerprint(fitted(0)) != fingerprint(fitted(1))
    assert fingerprint(fitted(0)) != fingerprint(SoftplusClassifier(max_epochs=1, module__hidden=(3,)))


#: Sources of a name `thing`, of which the first is compared with all others.
CODE = {
    "function": [
        "def thing(x):\n    return x + 1",
        "def thing(x):\n    return x + 2",
        "def thing(x):\n    return x - 1",
    ],
    "default": ["def thing(x=1): return x", "def thing(x=2): return x", "def thing(*, x=1): return x"],
    "helper": [
        "def help(x): return x\ndef thing(x): return help(x)",
        "def help(x): return -x\ndef thing(x): return help(x)",
    ],
    "constant": ["RATE = 1\ndef thing(x): return RATE * x", "RATE = 2\ndef thing(x): return RATE * x"],
    "inner": ["def thing(x):\n    return [y + 1 for y in x]", "def thing(x):\n    return [y + 2 for y in x]"],
    "closure": [
        "def make(r):\n    return lambda x: r * x\nthing = make(1)",
        "def make(r):\n    return lambda x: r * x\nthing = make(2)",
    ],
    "method": ["class thing:\n    def go(self): return 1", "class thing:\n    def go(self): return 2"],
    "attribute": ["class thing:\n    rate = 1", "class thing:\n    rate = 2"],
    "base": ["class B:\n    a = 1\nclass thing(B): pass", "class B:\n    a = 2\nclass thing(B): pass"],
    "property": [
        "class thing:\n    @property\n    def a(self): return 1",
        "class thing:\n    @property\n    def a(self): return 2",
    ],
    "instance": [
        "class C:\n    def go(self): return 1\nthing = C()",
        "class C:\n    def go(self): return 2\nthing = C()",
    ],
    "recursion": ["def thing(n): return n and thing(n - 1)", "def thing(n): return n and thing(n - 2)"],
    "two that call each other": [
        "def thing(n): return n and other(n - 1)\ndef other(n): return n and thing(n - 1)",
        "def thing(n): return n and other(n - 1)\ndef other(n): return n and thing(n - 2)",
    ],
    "superclass call": [
        "class B:\n    def go(self): return 1\nclass thing(B):\n    def go(self): return super().go()",
        "class B:\n    def go(self): return 2\nclass thing(B):\n    def go(self): return super().go()",
    ],
    "an attack": [
        "from robustxai.attacks import ERAttack\nclass A(ERAttack):\n    def _loss(self, a): return a\nthing = A(k=3)",
        "from robustxai.attacks import ERAttack\nclass A(ERAttack):\n    def _loss(self, a): return -a\nthing = A(k=3)",
    ],
}


def defined(source):
    namespace = {"__name__": "notebook"}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace["thing"]


@pytest.mark.parametrize("name", CODE)
def test_code_of_ones_own_counts(name):
    first, *others = CODE[name]
    commented = first.replace("\n", "  # a comment\n\n") + "\n# the end"
    assert fingerprint(defined(first)) == fingerprint(defined(first)) == fingerprint(defined(commented))
    for other in others:
        assert fingerprint(defined(first)) != fingerprint(defined(other))


def test_docstrings_and_places_do_not_count():
    plain = "def thing(x):\n    'One.'\n    def inner(y):\n        'Two.'\n        return y\n    return inner(x)"
    other = "\n\n\n" + plain.replace("One", "First").replace("Two", "Second")
    assert fingerprint(defined(plain)) == fingerprint(defined(other))
    assert fingerprint(defined("def thing(x): return 'One.'")) != fingerprint(defined("def thing(x): return 'Two.'"))
    assert fingerprint(defined("thing = lambda: 'One.'")) != fingerprint(defined("thing = lambda: 'Two.'"))


def test_circles_end_where_they_began_and_do_not_depend_on_the_way_in():
    circle = [1]
    circle.append(circle)
    other = [2]
    other.append(other)
    assert fingerprint(circle) != fingerprint(other)
    first, second = Plain(1), Plain(2)
    first.value, second.value = second, first
    alone = fingerprint(second)
    with read_once():
        fingerprint(first)
        assert fingerprint(second) == alone
        assert fingerprint([[second]]) == fingerprint([[second]])


def test_within_a_block_nothing_is_read_twice_and_nothing_comes_out_otherwise():
    things = [ERAttack(), AutoExplanationAttack(), R2ETClassifier(), defined(CODE["superclass call"][0])]
    alone = [fingerprint(thing) for thing in things]
    with read_once():
        assert [fingerprint(thing) for thing in things] == alone
        assert [fingerprint(thing) for thing in reversed(things)] == alone[::-1]


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    with open(tmp_path / "file", "w") as file, pytest.raises(TypeError, match="TextIOWrapper cannot be read"):
        fingerprint(Plain(file))
    with pytest.raises(TypeError, match="lock cannot be read"):
        fingerprint({"lock": threading.Lock()})


SCRIPT = textwrap.dedent(
    """
    import sys
    from robustxai import R2ETClassifier
    from robustxai.attacks import AutoExplanationAttack, ERAttack
    from robustxai.benchmark import ATTACKS, STANDARD_ATTACKS, Cell
    from robustxai.experiments.bracket import BracketCell
    from robustxai._fingerprint import fingerprint

    WORDS = {"a", "b", "c", "d"}

    class Mine(ERAttack):
        kinds = frozenset({"x", "y", "z"})

        def objective(self, attribution, reference):
            return len(WORDS) * super().objective(attribution, reference)

    ATTACKS["mine"] = lambda k, threat, max_iter, seed: Mine(k=k, threat=threat, random_state=seed)
    print(fingerprint(Mine(), AutoExplanationAttack(), R2ETClassifier(), {"p", "q", "r"}, lambda x: x in {"s", "t"}))
    print(Cell("breast_cancer", "r2et", 0, (*STANDARD_ATTACKS, "mine"), certify=True).name)
    print(BracketCell("breast_cancer", "r2et", 0, (0.1,)).name)
    """
)


def test_another_process_comes_to_the_same(tmp_path, monkeypatch, capsys):
    """With another randomization of hashes, other addresses, another folder and file name."""
    here, there = tmp_path / "a.py", tmp_path / "b" / "c.py"
    there.parent.mkdir()
    for path in (here, there):
        path.write_text(SCRIPT)
    with monkeypatch.context() as patch:
        patch.setitem(ATTACKS, "mine", None)  # the script registers its own, which is forgotten here
        runpy.run_path(str(here), run_name="__main__")
    said = capsys.readouterr().out
    paths = os.pathsep.join([os.environ["PYTHONPATH"], *sys.path])
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not that of this process
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
    run = subprocess.run([sys.executable, there], env=environment, cwd=there.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == said
    assert len(said.splitlines()) == 3

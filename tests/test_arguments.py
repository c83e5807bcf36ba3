"""The constraints, and bad calls of every public name that are made from what it declares."""

import dataclasses
import importlib
import inspect
import math
import pickle
import pkgutil
import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

import robustxai
from robustxai import _arguments as arguments
from robustxai import benchmark, inspection, nets, training
from robustxai._arguments import (
    COUNT,
    FLAG,
    NORM,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    Choice,
    Constraint,
    Each,
    Either,
    Exactly,
    Function,
    Has,
    Instance,
    Named,
    Number,
    Numbers,
    OneOf,
    PathName,
    Rows,
    Table,
    Text,
    check_arguments,
    checked,
    declared,
    nonsense,
    optional,
)

HOME = str(Path(robustxai.__file__).parent)
FOLDERS = [
    "robustxai",
    *(
        m.name
        for m in pkgutil.walk_packages(robustxai.__path__, "robustxai.")
        if not any(part.startswith("_") for part in m.name.split("."))
    ),
]
#: Not for users' arguments: the command line reads text, errors carry what is raised, and bounds are the inside of
#: certificates, which check for them.
LEFT_OUT = {"robustxai.cli", "robustxai.bounds", "robustxai.exceptions"}

#: Arguments that are data, models or parts of a running computation. What they may be depends on what is done with
#: them, and is said there.
DATA = {
    *(
        "X",
        "y",
        "init",
        "estimator",
        "estimators",
        "reference",
        "module",
        "net",
        "dataset",
        "data",
        "codes",
        "generator",
        "groups",
    ),
    *("like", "row", "changed", "baseline", "favorable", "summary"),
    # features by name, index or mask: they are looked up in the data
    *("bounds", "frozen", "scale", "target_units", "space"),
    # of an explainer or a penalty, called by those who have a network and a batch
    *("x", "target", "logits", "network", "score", "value", "create_graph"),
}
#: What the library makes and hands out; nobody makes one by hand.
RECORDS = {
    *("AttackResult", "AuditFigure", "AuditResult", "Distillation", "ReasonLetter", "StabilitySources"),
    *("ColumnMap", "Containment", "DenseLayers", "FeatureBox", "FlipCorrelation", "PairFold", "Pairs"),
    *("PerturbationSet", "Reasons", "Reference", "TableThreat"),
    *("ScaledAttribution", "Search", "SmoothedCertificate", "Term", "TopKCertificate"),
}
#: Records whose methods users call.
WITH_METHODS_TOO = {"AttackResult", "ColumnMap", "TableThreat"}
#: Methods that take more than data and tensors are looked at in these folders: elsewhere they are skorch's hooks, or
#: work on the batch of a training.
WITH_METHODS = {"attacks", "benchmark", "classifiers", "columns", "experiments", "inspection", "model_selection"}
#: Methods of scikit-learn's, and hooks of this library's, that take data or what the library has made.
METHODS_LEFT_OUT = {
    "get_params",
    "get_feature_names_out",
    "of_rows",
    "built",
    "test_cells",
    "flip_cells",
    "retraining_cells",
    "terms",
    *("objective", "propose", "learn", "scalarize", "slope", "plan", "selection", "check_target"),
}


def public():
    """(name, thing, folder) of every public class and function of this library, each once."""
    seen = set()
    for folder in FOLDERS:
        if folder in LEFT_OUT:
            continue
        module = importlib.import_module(folder)
        for name in module.__all__:
            thing = getattr(module, name)
            ours = callable(thing) and str(getattr(thing, "__module__", "")).startswith("robustxai")
            if ours and not isinstance(thing, Constraint) and id(thing) not in seen:
                seen.add(id(thing))
                yield name, thing, folder.split(".")[1] if "." in folder else folder


def callables():
    """(label, callable, class or None) of all public functions and classes, and of the methods of some folders."""
    for name, thing, folder in public():
        yield name, thing, None
        if isinstance(thing, type) and folder in WITH_METHODS and name not in RECORDS - WITH_METHODS_TOO:
            for method, function in vars(thing).items():
                function = getattr(function, "__func__", function)
                if not method.startswith("_") and inspect.isfunction(function) and method not in METHODS_LEFT_OUT:
                    yield f"{name}.{method}", function, thing


CALLABLES = list(callables())


every_callable = pytest.mark.parametrize(
    ("label", "thing"), [pytest.param(label, thing, id=label) for label, thing, _ in CALLABLES]
)


def named_parameters(thing):
    """Names of the arguments, without ``self``, ``*args`` and ``**kwargs``; none of protocols and plain errors."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return {}
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {p.name: p for p in parameters if p.kind not in kinds and p.name not in ("self", "cls")}


# ------------------------------------------------------------------------------------------------ every public name


@pytest.mark.parametrize(
    ("label", "thing"), [(label, thing) for label, thing, _ in CALLABLES], ids=[label for label, _, _ in CALLABLES]
)
def test_everything_says_what_its_arguments_may_be(label, thing):
    if label in RECORDS:
        assert dataclasses.is_dataclass(thing) or issubclass(thing, tuple)
        return
    said = declared(thing)
    silent = [name for name in named_parameters(thing) if name not in said and name not in DATA]
    assert not silent, f"{label} says nothing of {silent}: declare it in _constraints, or by @checked"
    unknown = set(said) - set(named_parameters(thing))
    assert not unknown, f"{label} has no arguments {unknown}"


@pytest.mark.parametrize(
    ("label", "thing"), [(label, thing) for label, thing, _ in CALLABLES], ids=[label for label, _, _ in CALLABLES]
)
def test_every_default_is_allowed_by_its_own_constraint(label, thing):
    parameters = named_parameters(thing)
    for name, constraint in declared(thing).items():
        default = parameters[name].default
        # BlackBox() is complete only with an explainer, but scikit-learn wants defaults
        if default is not inspect.Parameter.empty and "factory" not in repr(default) and label != "BlackBox":
            assert constraint.fault(default) is None, f"{label}({name}={default!r})"


def constraints():
    return {id(c): (label, n, c) for label, thing, _ in CALLABLES for n, c in declared(thing).items()}.values()


def test_no_constraint_takes_what_no_argument_can_be():
    for label, name, constraint in constraints():
        for value in (object(), slice(2), 1j, b"bytes"):
            assert constraint.fault(value) in (TypeError, ValueError), (label, name, value)
        for value in constraint.good():
            assert constraint.fault(value) is None, (label, name, value)


def good_arguments(thing, without):
    """Something for every argument that must be given, allowed where anything is said of it."""
    said, given = declared(thing), {}
    for name, parameter in named_parameters(thing).items():
        if name != without and parameter.default is inspect.Parameter.empty:
            given[name] = next(said[name].good(), object()) if name in said else np.zeros((4, 3))
    return given


def call(thing, owner, name, value):
    """Call with one bad argument; estimators look at theirs in `fit`."""
    given = {**good_arguments(thing, name), name: value}
    if owner is not None:
        return thing(object(), **given)  # looked at before the object itself
    made = thing(**given)
    if isinstance(made, BaseEstimator):
        made.fit(np.zeros((4, 3)), np.zeros(4))
    return made


def bad_calls():
    for label, thing, owner in CALLABLES:
        for name, constraint in declared(thing).items():
            if not (inspect.isclass(thing) and inspect.isabstract(thing)):
                yield label, thing, owner, name, constraint


def kinds_of(constraint):
    """What is said instead of the argument's name: "There is no data set 'adlut'."."""
    parts = [constraint, *getattr(constraint, "options", ()), getattr(constraint, "entry", None)]
    return [word for part in parts for word in (getattr(part, "kind", ""), getattr(part, "called", "")) if word]


BAD_CALLS = list(bad_calls())


def test_there_are_enough_bad_calls():
    assert sum(len(list(constraint.bad())) for *_, constraint in BAD_CALLS) > 10_000
    assert len({label for label, *_ in BAD_CALLS}) > 200


@pytest.mark.parametrize("label", sorted({label for label, *_ in BAD_CALLS}))
def test_a_bad_call_is_refused_in_our_words(label):
    for _, thing, owner, name, constraint in (one for one in BAD_CALLS if one[0] == label):
        for value in constraint.bad():
            with pytest.raises((TypeError, ValueError)) as caught:
                call(thing, owner, name, value)
            error, where = caught.value, f"{label}({name}={arguments._shown(value)}): {caught.value}"
            assert type(error) in (TypeError, ValueError), where
            *_, (last, _) = traceback.walk_tb(error.__traceback__)
            assert last.f_code.co_filename.startswith(HOME), where
            text = str(error)
            assert any(word in text for word in (name, *kinds_of(constraint))), where
            assert text.endswith((".", "?")), where
            assert len(text) < 1000, where
            assert "\n" not in text, where


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nets.MLP(4, 0), ValueError, "MLP: n_classes must be a finite number >= 1, got 0."),
        (lambda: nets.MLP(4, 2, hidden=(8, -1)), ValueError, r"MLP: hidden\[1\] must be a finite number >= 1, got -1."),
        (lambda: nets.ResNet9((3, 8, 8), 2, width=-1), ValueError, "ResNet9: width must be a finite number >= 1"),
        (lambda: nets.ConvNet(None, 2), TypeError, "ConvNet: in_shape must be a sequence"),
        (lambda: benchmark.FrontierDisplay.from_results(None), TypeError, "cells must be a pandas DataFrame .* None"),
        (lambda: benchmark.FrontierDisplay(pd.DataFrame(), k=8), ValueError, "points lacks the column 'auc'"),
        (lambda: inspection.ThicknessDisplay({}, {}), ValueError, "rows must be a dict that is not empty"),
        (lambda: robustxai.retrain(5, 5, [[1]], [1]), TypeError, "estimator must be a classifier of robustxai"),
        (
            lambda: robustxai.retrain(robustxai.VanillaClassifier(), None, [[1]], [1], min_precision=math.nan),
            ValueError, "retrain: min_precision must be a finite number >= 0 and <= 1, got nan",
        ),
        (lambda: training.ResumableCheckpoint("\0"), ValueError, "dirname must be a path, as a string that is neither"),
        (lambda: training.ResumableCheckpoint("folder", every=0), ValueError, "every must be a positive number"),
        (lambda: robustxai.VanillaClassifier(callbacks=3).fit([[1]], [1]), TypeError, "callbacks must be a list"),
        (lambda: robustxai.VanillaClassifier(module=3).fit([[1]], [1]), TypeError, "module must be a name"),
    ],
)  # fmt: skip
def test_what_users_reported(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------------ the constraints


@given(st.floats(allow_nan=True), st.floats(-10, 10), st.floats(-10, 10), st.booleans(), st.booleans())
def test_a_number_is_allowed_exactly_in_its_range(value, one, other, above, below):
    low, high = min(one, other), max(one, other)
    inside = (low < value if above else low <= value) and (value < high if below else value <= high)
    assert (Number(low, high, above=above, below=below).fault(value) is None) == inside


@given(st.one_of(st.floats(), st.integers()), st.integers(-5, 5))
def test_numpy_and_python_numbers_are_alike(value, low):
    real, whole = Number(low), Number(low, integer=True)
    if isinstance(value, float):
        assert real.fault(np.float64(value)) is real.fault(value)
        assert whole.fault(np.float64(value)) is whole.fault(value) is TypeError
    elif abs(value) < 2**63:
        assert real.fault(np.int64(value)) is real.fault(value)
        assert whole.fault(np.int64(value)) is whole.fault(value)
    else:
        assert whole.fault(value) is ValueError


@pytest.mark.parametrize("constraint", [COUNT, POSITIVE, NOT_NEGATIVE, SHARE, SEED, NORM, optional(COUNT), Exactly(1)])
@pytest.mark.parametrize(
    "value", [True, False, np.bool_(True), "1", b"1", np.array(1), torch.tensor(1), [1], 1j, object()]
)
def test_what_only_looks_like_a_number_is_none(constraint, value):
    assert constraint.fault(value) in (TypeError, ValueError)
    with pytest.raises((TypeError, ValueError), match="f: a"):
        constraint.check("a", value, "f")


@pytest.mark.parametrize(
    ("constraint", "value", "error", "sentence"),
    [
        (COUNT, 0, ValueError, "a must be a finite number >= 1, got 0."),
        (COUNT, 1.0, TypeError, "a must be an integer >= 1, got 1.0."),
        (SHARE, math.nan, ValueError, "a must be a finite number >= 0 and <= 1, got nan."),
        (Number(0, 1, above=True, below=True), 1, ValueError, "a must be a finite number > 0 and < 1, got 1."),
        (optional(COUNT), 0, ValueError, "a must be a finite number >= 1, got 0."),
        (optional(COUNT), "x", TypeError, "a must be an integer >= 1 or None, got 'x'."),
        (FLAG, 1, TypeError, "a must be True or False, got 1."),
        (
            Choice(("relu", "tanh")), "rellu", ValueError,
            "a='rellu' is not known. Did you mean 'relu'? Valid names: relu, tanh.",
        ),
        (Choice(("relu", "tanh")), "q", ValueError, "a='q' is not known. Valid names: relu, tanh."),
        (Choice(("relu", "tanh")), 3, TypeError, "a must be one of 'relu', 'tanh', got 3."),
        (Choice(("er",), kind="attack"), "err", ValueError, "There is no attack 'err'. Did you mean 'er'?"),
        (NORM, 1, ValueError, "a=1 is not supported; use 2 or inf."),
        (OneOf((2, "inf")), "2", ValueError, "a='2' is not supported; use 2 or 'inf'."),
        (Each(COUNT), [1, 0], ValueError, "a[1] must be a finite number >= 1, got 0."),
        (Each(COUNT), 5, ValueError, "a must be a sequence, each entry an integer >= 1, got 5."),
        (Each(COUNT), "x", TypeError, "a must be a sequence, each entry an integer >= 1, got 'x'."),
        (
            Each(COUNT, least=1), (), ValueError,
            "a is empty; it must be a sequence of at least 1, each entry an integer >= 1.",
        ),
        (Named(SHARE), {"one": 2}, ValueError, "a['one'] must be a finite number >= 0 and <= 1, got 2."),
        (Text(), "", ValueError, "a must be a string that is not empty, got ''."),
        (Rows(), None, TypeError, "a must be an array, a tensor, a table or a list of shape (n_samples, ...), got "
            "None."),
        (
            Table(("k", "auc"), source="Study.search"), pd.DataFrame({"k": [1]}), ValueError,
            "a lacks the column 'auc'. It must be a pandas DataFrame of at least one row with the columns 'k', 'auc', "
            "as Study.search returns it.",
        ),
        (Numbers(), [1, [2]], TypeError, "a must be a finite number, or an array of finite numbers, got [1, [2]]."),
        (Function(), print.__class__, TypeError, "a must be a callable, got <class 'builtin_function_or_method'>."),
        (Has(("fit",), words="an estimator"), 3, TypeError, "a must be an estimator, got 3."),
        (Instance((list, np.ndarray)), 3, TypeError, "a must be a list or a ndarray, got 3."),
        (PathName(), "\0", ValueError, r"a path, as a string that is neither empty nor has a NUL character"),
        (
            Either((COUNT, Exactly("auto"))), "many", TypeError, "a must be an integer >= 1 or 'auto', got 'many'."
        ),
    ],
)  # fmt: skip
def test_the_sentence_says_what_is_wrong_and_what_is_allowed(constraint, value, error, sentence):
    with pytest.raises(error) as caught:
        constraint.check("a", value, "f")
    assert type(caught.value) is error
    assert str(caught.value).startswith("f: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", [10**5000, [list(range(50))] * 50, np.zeros((100, 100)), "x" * 10_000], ids=range(4))
def test_long_values_make_short_messages(value):
    with pytest.raises((TypeError, ValueError)) as caught:
        COUNT.check("k", value, "f")
    assert len(str(caught.value)) < 300


def test_a_value_whose_repr_fails_is_named_by_its_kind():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(TypeError, match="k must be an integer >= 1, got a Broken"):
        COUNT.check("k", Broken())


def test_choices_follow_a_registry():
    registry = {"one": 1}
    choice = Choice(registry)
    assert choice.fault("two") is ValueError
    registry["two"] = 2
    assert choice.fault("two") is None


# ------------------------------------------------------------------------------------------------ the two ways


@checked(a=COUNT, c=optional(SHARE), d=FLAG)
def function(a, b, c=0.5, *, d=True):
    """What it says."""
    return a, b, c, d


def test_a_decorated_function_checks_what_is_given_by_place_and_by_name():
    assert function(1, 2) == (1, 2, 0.5, True)
    assert function(b=1, a=2, c=None) == (2, 1, None, True)
    wrong = (
        ((0, 1), {}),
        ((1, 1, 2.0), {}),
        ((1, 1), {"c": 2}),
        ((1, 1), {"d": 1}),
        ((), {"a": "", "b": 1}),
    )
    for by_place, by_name in wrong:
        with pytest.raises((TypeError, ValueError), match=r"^function: [acd] must be"):
            function(*by_place, **by_name)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        function(1)


def test_a_decorated_function_stays_what_it_is():
    assert function.__doc__ == "What it says."
    assert list(inspect.signature(function).parameters) == ["a", "b", "c", "d"]
    assert declared(function).keys() == {"a", "c", "d"}
    assert pickle.loads(pickle.dumps(function)) is function


def test_a_constraint_of_an_argument_that_is_not_there_is_an_error_of_the_definition():
    with pytest.raises(NameError, match=r"wrong has no argument 'k'"):

        @checked(k=COUNT)
        def wrong(n):
            return n


class Base:
    _constraints = {"k": COUNT, "share": SHARE}

    def __init__(self, k=1, share=0.5, extra=None):
        self.k, self.share, self.extra = k, share, extra


class Derived(Base):
    _constraints = {"share": POSITIVE, "extra": optional(Text())}


def test_subclasses_add_to_the_constraints_and_replace_them():
    assert declared(Derived).keys() == {"k", "share", "extra"}
    check_arguments(Derived(share=2.0))
    with pytest.raises(ValueError, match="Base: share must be"):
        check_arguments(Base(share=2.0))
    for wrong in ({"k": 0}, {"share": 0}, {"extra": 3}):
        with pytest.raises((TypeError, ValueError), match=rf"^Derived: {next(iter(wrong))} must be"):
            check_arguments(Derived(**wrong))
    with pytest.raises(ValueError, match=r"^k must be"):
        check_arguments(Derived(0), "")


def test_nonsense_is_of_all_kinds():
    assert len({type(value) for value in nonsense()}) > 12
    assert not any(isinstance(value, (Bunch, Mapping)) and not value for value in nonsense())

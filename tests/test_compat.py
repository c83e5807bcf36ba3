"""Private names of other packages, as ``robustxai/_compat.py`` uses them.

Checked with scikit-learn 1.9.1, skorch 1.4.0, optuna 5.0.0 and torch 2.13.0. A test that fails with another version
says which name is gone: change the function in ``_compat.py``, and nothing else.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn
import skorch
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochTimer
from torch import nn
from torch.utils import _python_dispatch

import robustxai
from robustxai import _compat

VERSIONS = {"scikit-learn 1.9.1": sklearn, "skorch 1.4.0": skorch, "optuna 5.0.0": optuna, "torch 2.13.0": torch}

ROOT = Path(robustxai.__file__).parent
#: Private names of Python itself, and private hooks that other packages expect to be overridden.
PYTHONS_OWN = {"_getframe", "_lru_cache_wrapper", "_replace"}
OVERRIDDEN = {"_default_callbacks", "_apply"}


def here(name, thing, attribute):
    """Fail with a sentence where a private name is gone."""
    package = name.split()[0]
    installed = f"{package} {VERSIONS[name].__version__}"
    assert hasattr(thing, attribute), (
        f"{installed} has no {thing.__name__}.{attribute}, which {name} has: find its replacement for _compat.py."
    )


@pytest.mark.parametrize(
    ("name", "module", "attribute"),
    [
        ("scikit-learn 1.9.1", "sklearn.metrics._scorer", "_MultimetricScorer"),
        ("scikit-learn 1.9.1", "sklearn.model_selection._search", "BaseSearchCV"),
        ("scikit-learn 1.9.1", "sklearn.utils", "_safe_indexing"),
        ("scikit-learn 1.9.1", "sklearn.utils.validation", "_check_method_params"),
        ("scikit-learn 1.9.1", "sklearn.utils.validation", "_num_samples"),
        ("torch 2.13.0", "torch.nn.modules.batchnorm", "_BatchNorm"),
        ("torch 2.13.0", "torch.nn.modules.dropout", "_DropoutNd"),
        ("torch 2.13.0", "torch.utils._python_dispatch", "TorchDispatchMode"),
        ("torch 2.13.0", "torch", "_foreach_lerp_"),
        ("torch 2.13.0", "torch", "_foreach_mul_"),
        ("torch 2.13.0", "torch", "_foreach_addcmul_"),
        ("torch 2.13.0", "torch._C", "_current_graph_task_id"),
        ("torch 2.13.0", "torch._C", "DispatchKey"),
        ("torch 2.13.0", "torch._C", "DisableTorchFunctionSubclass"),
    ],
)
def test_private_functions_and_classes_exist(name, module, attribute):
    here(name, importlib.import_module(module), attribute)


@pytest.mark.parametrize(
    ("name", "kind", "attribute"),
    [
        ("scikit-learn 1.9.1", GridSearchCV, "_run_search"),
        ("scikit-learn 1.9.1", GridSearchCV, "_get_scorers"),
        ("scikit-learn 1.9.1", GridSearchCV, "_get_routed_params_for_fit"),
        ("scikit-learn 1.9.1", GridSearchCV, "_format_results"),
        ("scikit-learn 1.9.1", GridSearchCV, "_select_best_index"),
        ("skorch 1.4.0", NeuralNetClassifier, "_default_callbacks"),
        ("skorch 1.4.0", NeuralNetClassifier, "_uniquely_named_callbacks"),
        ("skorch 1.4.0", NeuralNetClassifier, "_set_training"),
        ("torch 2.13.0", nn.Module, "_apply"),
        ("torch 2.13.0", torch.Tensor, "_make_subclass"),
        ("torch 2.13.0", torch.Tensor, "_backward_hooks"),
        ("torch 2.13.0", torch.Tensor, "_post_accumulate_grad_hooks"),
    ],
)
def test_private_methods_exist(name, kind, attribute):
    here(name, kind, attribute)


def test_the_hooks_of_a_search_have_their_arguments():
    def arguments(name):
        return [p for p in inspect.signature(getattr(GridSearchCV, name)).parameters if p != "self"]

    assert arguments("_run_search") in (["evaluate_candidates"], ["evaluate_candidates", "callback_ctx"])
    assert arguments("_format_results") == ["candidate_params", "n_splits", "out", "more_results"]
    assert arguments("_select_best_index") == ["refit", "refit_metric", "results"]
    assert len(arguments("_get_routed_params_for_fit")) == 1


def test_a_search_calls_its_hooks():
    called = []

    class Search(_compat.SearchCV):
        def __init__(self, estimator, scoring=None):
            super().__init__(estimator, scoring=scoring)

        def _search(self, evaluate, callbacks):
            called.append("search")
            options = {}
            if callbacks is not None:
                context = callbacks.subcontext(task_name="search", max_subtasks=10, sequential_subtasks=False)
                context.call_on_fit_task_begin(estimator=self)
                options["callback_ctx"] = context
            evaluate([{"C": 1.0}, {"C": 2.0}], **options)

        def _routed(self, params):
            called.append("routed")
            return super()._routed(params)

        def _results(self, *args):
            called.append("results")
            return super()._results(*args)

        def _best_index(self, *args):
            called.append("best")
            return super()._best_index(*args)

    X, y = np.arange(12.0)[:, None], np.arange(12) % 2
    search = Search(LogisticRegression()).fit(X, y)
    assert called[0] == "routed"
    assert set(called[1:]) == {"search", "results", "best"}
    assert len(search.cv_results_["params"]) == 2
    assert callable(search._scorers_of_search())


def test_scorers_of_several_metrics_come_by_name():
    several = check_scoring(LogisticRegression(), scoring=["accuracy", "roc_auc"])
    assert sorted(_compat.scorers_by_name(several)) == ["accuracy", "roc_auc"]
    assert _compat.scorers_by_name(len) is len


def test_trees_and_where_their_scores_begin():
    """scikit-learn 1.9.1: the scores of boosted trees are what they begin with, plus the leaves of every tree."""
    r = np.random.default_rng(0)
    X = r.random((200, 2))
    trees = HistGradientBoostingClassifier(max_iter=3).fit(X, X[:, 0] > X[:, 1])
    iterations, start = _compat.boosted_trees(trees)
    assert len(iterations) == 3
    assert {"is_leaf", "value", "count", "feature_idx", "num_threshold", "left", "right"} <= set(
        iterations[0][0].nodes.dtype.names
    )
    node = iterations[0][0].nodes
    assert node["count"][0] == 200
    assert start.reshape(-1).shape == (1,)


def test_rows_of_any_container():
    rows = np.array([2, 0])
    assert _compat.take_rows([5, 6, 7], rows) == [7, 5]
    assert _compat.take_rows(np.arange(3), rows).tolist() == [2, 0]
    assert _compat.take_rows(pd.Series([1, 2, 3], index=list("abc")), rows).index.tolist() == ["c", "a"]
    assert [_compat.n_samples(X) for X in ([1, 2], np.zeros((3, 2)))] == [2, 3]
    assert list(_compat.fit_params_by_row([1, 2], {"sample_weight": [1.0, 2.0], "flag": None})) == [
        "sample_weight",
        "flag",
    ]
    part = _compat.fit_params_by_row([5, 6, 7], {"sample_weight": [1.0, 2.0, 3.0], "flag": None}, rows)
    assert part["sample_weight"] == [3.0, 1.0]
    assert part["flag"] is None


def test_scorers_tell_whether_they_take_weights():
    class Weighted(_compat.AcceptsWeights):
        def __call__(self, estimator, X, y=None, sample_weight=None):
            return 0.0

    for scoring, takes in (("accuracy", True), (None, True), (Weighted(), True), (lambda clf, X, y: 0.0, False)):
        scorer = check_scoring(LogisticRegression(), scoring=scoring)
        assert _compat.takes_weights(scorer) is takes


def test_callbacks_and_modules_of_a_net():
    net = NeuralNetClassifier(nn.Linear(2, 2), callbacks=[EpochTimer(), EpochTimer()])
    own = _compat.own_callback_names(net)
    assert own == {name for name, _ in net._default_callbacks}
    names = _compat.callback_names(net)
    assert own < set(names)
    assert len(set(names)) == len(names) == len(own) + 2
    net.initialize()
    assert _compat.criterion_names(net) == ["module", "criterion"]
    for training in (False, True):
        _compat.set_training(net, training)
        assert net.module_.training is training


def test_attributes_of_studies():
    study = optuna.create_study()
    trial = study.ask()
    _compat.set_trial_attribute(study, trial, "key", 1)
    _compat.set_study_attribute(study, "key", {"a": 2})
    assert study.get_trials()[0].system_attrs["key"] == 1
    assert _compat.study_attributes(study)["key"] == {"a": 2}
    assert optuna.Study(study.study_name, _compat.study_storage(study)).get_trials()[0].number == 0


def test_hooks_are_seen():
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        layer = nn.Linear(2, 2)
        assert not _compat.has_hooks(layer)
        getattr(layer, register)(lambda *args: None)
        assert _compat.has_hooks(layer)
        assert _compat.has_gradient_hooks(layer) is (register == "register_full_backward_hook")
    for register in ("register_hook", "register_post_accumulate_grad_hook"):
        weight = nn.Parameter(torch.ones(2))
        assert not _compat.has_gradient_hooks(weight)
        getattr(weight, register)(lambda *args: None)
        assert _compat.has_gradient_hooks(weight)


def test_steps_on_lists_of_tensors():
    first, second = torch.ones(2), torch.full((3,), 2.0)
    _compat.lerp([first, second], [torch.zeros(2), torch.ones(3)], 0.25)
    assert first.tolist() == [0.75] * 2
    assert second.tolist() == [1.75] * 3
    _compat.multiply([first, second], 2.0)
    assert first.tolist() == [1.5] * 2
    _compat.add_products([first], [torch.full((2,), 3.0)], [torch.full((2,), 2.0)], 0.5)
    assert first.tolist() == [4.5] * 2


def test_schedulers_take_a_marked_optimizer_for_one_that_has_stepped(recwarn):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    _compat.mark_stepped(optimizer)
    scheduler.step()
    assert not recwarn


def test_the_backward_pass_is_seen():
    seen = []
    x = torch.ones(1, requires_grad=True)
    y = 2 * x
    y.register_hook(lambda gradient: seen.append(_compat.in_backward_pass()))
    y.backward()
    assert seen == [True]
    assert not _compat.in_backward_pass()


def test_operations_tell_their_arguments():
    normal = torch.ops.aten.normal_.default
    assert [a.name for a in _compat.operation_arguments(normal)] == ["self", "mean", "std", "generator"]
    assert _compat.operation_arguments(normal)[-1].kwarg_only
    assert _compat.is_composite(torch.ops.aten.dropout.default)
    assert not _compat.is_composite(normal)


def test_subclasses_of_tensor():
    class Counting(torch.Tensor):
        calls = 0

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.calls += 1
            with _compat.plain_functions():
                return func(*args, **(kwargs or {}))

    leaf = _compat.new_subclass(Counting, torch.ones(2))
    assert isinstance(leaf, Counting)
    with _compat.plain_functions():
        assert leaf.is_leaf
        assert leaf.requires_grad
    before = Counting.calls
    torch.add(leaf, 1)
    assert Counting.calls == before + 1


def test_the_module_inside_of_a_compiled_one():
    layer = nn.Linear(2, 2)
    assert _compat.uncompiled(layer) is layer
    assert _compat.uncompiled(torch.compile(layer)) is layer


def test_layers_have_the_known_forward_methods():
    assert hasattr(nn.Linear, _compat.FORWARD_METHODS[0])
    here("torch 2.13.0", nn.Conv2d, _compat.FORWARD_METHODS[1])
    assert issubclass(nn.BatchNorm2d, _compat.BatchNorm)
    assert issubclass(nn.Dropout2d, _compat.Dropout)
    assert _compat.DispatchMode is _python_dispatch.TorchDispatchMode


# ---------------------------------------------------------------- the rest of the package


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def sources():
    return [path for path in sorted(ROOT.rglob("*.py")) if path.name != "_compat.py"]


def own_names(trees):
    """Every name that the package itself gives to something."""
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def uses(node):
    """Private names that a node of the syntax tree uses."""
    if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("robustxai"):
        yield from filter(is_private, [*(node.module or "").split("."), *(alias.name for alias in node.names)])
    elif isinstance(node, ast.Import):
        parts = [part for alias in node.names for part in alias.name.split(".")]
        yield from filter(is_private, parts)
    elif isinstance(node, ast.Attribute) and is_private(node.attr):
        yield node.attr
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
        yield from (a.value for a in node.args if isinstance(a, ast.Constant) and is_private(str(a.value)))


def test_no_other_module_uses_private_names_of_other_packages():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    hooks = {name for name in vars(_compat.SearchCV) if not hasattr(_compat.BaseSearchCV, name)}
    own = own_names(trees.values()) | hooks | PYTHONS_OWN
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} uses {name}: give it a function in _compat.py."
        for path, tree in trees.items()
        for node in ast.walk(tree)
        for name in uses(node)
        if name not in own
    ]
    assert found == []


def test_no_other_class_overrides_private_methods_of_other_packages():
    found = set()
    for info in pkgutil.walk_packages(robustxai.__path__, "robustxai."):
        if info.name.endswith((".__main__", "._compat")):
            continue
        for kind in vars(importlib.import_module(info.name)).values():
            if not inspect.isclass(kind) or kind.__module__ != info.name:
                continue
            others = [
                base
                for base in kind.__mro__
                if not base.__module__.startswith("robustxai")
                and base.__module__.split(".")[0] not in sys.stdlib_module_names
            ]
            found |= {
                f"{kind.__qualname__}.{name}"
                for name, value in vars(kind).items()
                if is_private(name) and isinstance(value, FunctionType | property) and name not in OVERRIDDEN
                if any(name in vars(base) for base in others)
            }
    assert found == set()

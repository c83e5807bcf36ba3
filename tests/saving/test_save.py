"""What is loaded equals what was saved, bit for bit."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from robustxai import (
    ExplanationATClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    as_explainable,
    load,
    retrain,
    save,
)
from robustxai.attacks import ERAttack
from robustxai.certificates import certify_top_k
from robustxai.columns import TableThreat
from robustxai.exceptions import UntrustedTypeError
from robustxai.explainers import EXPLAINERS, ColumnContributions, IntegratedGradients
from robustxai.perturbation import ThreatModel
from robustxai.reasons import reasons
from tests.classifiers.conftest import CLASSIFIERS, small

X, Y = load_iris(return_X_y=True)


def same(first, second, X=X):
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X), strict=True)
    np.testing.assert_array_equal(first.predict(X), second.predict(X), strict=True)
    np.testing.assert_array_equal(first.explain(X), second.explain(X))
    assert type(first) is type(second)
    assert str(first.module_) == str(second.module_)


_ELSEWHERE = """
import sys
import numpy as np, pandas as pd
from robustxai import load
from robustxai.certificates import certify_top_k
model = load(sys.argv[1])
X = pd.read_csv(sys.argv[2])
rows = model[:-1].transform(X)
proven = certify_top_k(model[-1], rows, k=1, epsilon=0.01)
np.savez(sys.argv[3], model.predict_proba(X), model[-1].explain(rows), proven.precision_at_k, proven.n_proven_pairs)
"""


def test_another_process_loads_what_was_saved(pipe, table, tmp_path):
    """Predictions, explanations and certificates are the same, bit for bit."""
    X = table[0]
    model, csv, found = (tmp_path / name for name in ("model.safetensors", "rows.csv", "found.npz"))
    save(pipe, model)
    X.to_csv(csv, index=False, float_format="%.17g")
    code = [sys.executable, "-c", _ELSEWHERE, str(model), str(csv), str(found)]
    subprocess.run(code, check=True, timeout=300)
    rows = pipe[:-1].transform(X)
    proven = certify_top_k(pipe[-1], rows, k=1, epsilon=0.01)
    expected = pipe.predict_proba(X), pipe[-1].explain(rows), proven.precision_at_k, proven.n_proven_pairs
    with np.load(found) as there:
        for values, name in zip(expected, there.files, strict=True):
            np.testing.assert_array_equal(there[name], values, strict=True)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_every_classifier_is_loaded_as_it_was_saved(cls, again):
    clf = small(cls, max_epochs=1).fit(X, Y)
    loaded = again(clf)
    same(clf, loaded)
    assert repr(loaded) == repr(clf)
    assert loaded.schedule_ == clf.schedule_
    assert [e["train_loss"] for e in loaded.history_] == [e["train_loss"] for e in clf.history_]
    for name, value in vars(clf).items():
        if name.endswith("_") and name not in ("net_", "table_summary_"):
            np.testing.assert_array_equal(getattr(loaded, name), value)


@pytest.mark.parametrize("cls", [R2ETClassifier, LinearClassifier])
def test_a_fit_of_a_loaded_classifier_is_that_of_the_saved_one(cls, again):
    clf = small(cls, max_epochs=1).fit(X, Y)
    np.testing.assert_array_equal(again(clf).fit(X, Y).explain(X[:5]), clf.explain(X[:5]))


def test_certificates_attacks_and_reasons_are_those_of_the_saved_pipeline(pipe, table, again):
    X, loaded = table[0][:8], again(pipe)
    threat = TableThreat.from_frame(X, budgets={"a": 0.1}, immutable=["home"])
    for one in (
        lambda model: certify_top_k(model, X, k=1, epsilon=0.05).precision_at_k,
        lambda model: ERAttack(model, k=1, max_iter=3).run(X).X_adv.to_numpy(),
        lambda model: reasons(model, X[:2], top=1, threat=threat, attack=None).frame.drop(columns="changes").to_numpy(),
    ):
        np.testing.assert_array_equal(one(loaded), one(pipe))
    assert list(loaded[:-1].get_feature_names_out()) == list(pipe[:-1].get_feature_names_out())


def _columns():
    return make_column_transformer(
        (StandardScaler(), ["a"]), (OneHotEncoder(sparse_output=False), ["b"]), (OrdinalEncoder(), ["c"]),
        (KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), ["d"]), (FunctionTransformer(np.log1p), ["e"]),
    )  # fmt: skip


def test_steps_of_scikit_learn_are_kept(again):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.choice(["x", "y"], 40), "c": rng.choice([1, 2], 40)})
    frame = frame.assign(d=rng.random(40), e=rng.random(40))
    pipe = make_pipeline(_columns(), "passthrough", PCA(3), VanillaClassifier(max_epochs=1)).fit(frame, frame["c"])
    loaded = again(pipe)
    np.testing.assert_array_equal(loaded.predict_proba(frame), pipe.predict_proba(frame))
    assert [type(step) for step in loaded.named_steps.values()] == [type(step) for step in pipe.named_steps.values()]
    frozen = again(make_pipeline(FrozenEstimator(pipe[0]), FrozenEstimator(pipe[1:])))
    np.testing.assert_array_equal(frozen.predict_proba(frame), pipe.predict_proba(frame))


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=300), MLPClassifier((4,), max_iter=300, tol=1e-2)])
def test_converted_models_and_models_of_scikit_learn_are_kept(model, again):
    pipe = make_pipeline(StandardScaler(), model).fit(X, Y)
    loaded = again(pipe)
    np.testing.assert_array_equal(loaded.predict_proba(X), pipe.predict_proba(X))
    converted = as_explainable(pipe[-1], pipe[:-1].transform(X), explainer="log_odds_gradient")
    loaded = again(converted)
    same(converted, loaded)
    assert repr(loaded) == repr(converted)
    np.testing.assert_array_equal(loaded.estimator_.predict_proba(X), converted.estimator_.predict_proba(X))
    np.testing.assert_array_equal(loaded.table_summary_.baseline, converted.table_summary_.baseline)


class Scores(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


class Own(nn.Module):
    def __init__(self, n_features, n_classes, width=3):
        super().__init__()
        self.inner, self.last = nn.Linear(n_features, width), nn.Linear(width, n_classes)

    def forward(self, x):
        return self.last(torch.tanh(self.inner(x)))


class OwnActivation(nn.Module):
    def forward(self, z):
        return z.square()


def own_explainer(module, x, target, *, logits=None, create_graph=False):
    return x * 2


class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return 2 * X


#: A user's own class or function -> a classifier with it, or a step before.
OWN = {
    Own: lambda: VanillaClassifier(module=Own, module__width=5, max_epochs=1),
    OwnActivation: lambda: VanillaClassifier(module__activation=OwnActivation, module__hidden=(3,), max_epochs=1),
    own_explainer: lambda: VanillaClassifier(explainer=own_explainer, max_epochs=1),
    Doubled: lambda: make_pipeline(Doubled(), VanillaClassifier(max_epochs=1)),
}


@pytest.mark.parametrize("own", OWN)
def test_classes_and_functions_of_the_users_own_are_read_where_they_are_trusted(own, again, tmp_path):
    model = OWN[own]().fit(X, Y)
    with pytest.raises(TypeError, match=rf"names {own.__module__}.{own.__name__}, .*trusted=\[{own.__name__}\]"):
        again(model)
    loaded = load(tmp_path / "model.safetensors", trusted=[own])
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_parameters_of_every_kind_are_kept(again):
    params = {
        "explainer": IntegratedGradients(baseline=X.mean(axis=0), n_points=3),
        "class_weight": {0: 1.0, 1: 2.5},
        "batch_size": -1,
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": np.float64(0.5),
        "module__hidden": [np.int64(3), 2],
        "device": torch.device("cpu"),
        "random_state": np.int64(3),
        "threat": ThreatModel(0.1, "inf", bounds=(X.min(axis=0), np.inf), frozen=[1]),
    }
    clf = ExplanationATClassifier(**params, max_epochs=1).fit(X, Y)
    loaded = again(clf)
    same(clf, loaded)
    found = loaded.get_params()
    assert found["threat"] == params["threat"]
    np.testing.assert_array_equal(found["explainer"].baseline, params["explainer"].baseline)
    for name in ("class_weight", "batch_size", "optimizer", "optimizer__momentum", "module__hidden", "device"):
        assert found[name] == params[name]
        assert type(found[name]) is type(params[name])


@pytest.fixture(scope="module")
def fitted():
    return SoftplusClassifier(max_epochs=1).fit(X, Y)


@pytest.mark.parametrize("explainer", EXPLAINERS.values(), ids=EXPLAINERS)
def test_every_explainer_of_the_library_is_known_to_files(explainer, fitted, again):
    same(fitted.set_params(explainer=explainer), again(fitted))


def test_contributions_of_columns_and_names_are_kept(again):
    frame = pd.DataFrame(X, columns=list("abcd"))
    clf = SoftplusClassifier(explainer=ColumnContributions(groups=[[0, 1], [2, 3]], names=list("xy")), max_epochs=1)
    clf.fit(frame, Y)
    loaded = again(clf)
    pd.testing.assert_frame_equal(loaded.explain(frame), clf.explain(frame))
    np.testing.assert_array_equal(loaded.feature_names_in_, list("abcd"))
    assert loaded.table_summary_.names == clf.table_summary_.names


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((1, 8, 8), {"module__channels": (2,), "module__hidden": (3,)}),
        ((4,), {"module": "additive", "module__n_units": 2}),
        ((1, 8, 8), {"module": "resnet9", "module__width": 2}),
        ((2, 1, 8, 8), {"module__encoder_params": {"channels": (2,), "hidden": (3,)}, "module__embedding": 3}),
    ],
)
def test_networks_of_every_kind_are_kept(shape, params, again):
    images = np.random.default_rng(0).normal(size=(20, *shape)).astype(np.float32)
    clf = SoftplusClassifier(max_epochs=1, **params).fit(images, np.arange(20) % 2)
    same(clf, again(clf), images)


def test_graph_networks_are_kept(again):
    pytest.importorskip("torch_geometric")
    graphs = np.random.default_rng(0).normal(size=(20, 4, 4))
    graphs = ((graphs + graphs.swapaxes(1, 2)) / 2).astype(np.float32)
    clf = SoftplusClassifier(max_epochs=1, module__hidden=(3,)).fit(graphs, np.arange(20) % 2)
    same(clf, again(clf), graphs)


def test_a_retrained_model_is_kept_with_its_replaced_activations(again):
    old = VanillaClassifier(max_epochs=2, module__hidden=(4,)).fit(X, Y)
    new = retrain(R2ETClassifier(k=2), old, X, Y, k=2, beta=5.0, max_epochs=1, min_precision=0.01, max_auc_drop=1.0)
    with pytest.warns(UserWarning, match=r"does not hold init, callbacks of R2ETClassifier"):
        loaded = again(new)
    same(new, loaded)
    assert type(loaded.module_.layers[1]) is nn.Softplus
    assert str(loaded.module) == str(new.module_)


def test_a_module_of_torchs_own_layers_is_kept(again):
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False), nn.Mish(), nn.Dropout(0.2), nn.Linear(3, 3))
    clf = VanillaClassifier(module=module, max_epochs=1).fit(X, Y)
    same(clf, again(clf))
    same(as_explainable(module, X), again(as_explainable(module, X)))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: VanillaClassifier(), NotFittedError, "not fitted"),
        (
            lambda: GridSearchCV(_quick(), {"lr": [0.1]}, cv=2).fit(X, Y),
            TypeError,
            "GridSearchCV is a search. Save its",
        ),
        (lambda: VanillaClassifier(explainer=lambda *a, **k: a[1], max_epochs=1).fit(X, Y), TypeError, "<lambda>"),
        (lambda: VanillaClassifier(module=Own(4, 3), max_epochs=1).fit(X, Y), TypeError, "rebuild the module Own"),
        (
            lambda: as_explainable(
                NeuralNetBinaryClassifier(Scores, max_epochs=1, verbose=0).fit(
                    X.astype(np.float32), (Y == 1).astype(np.float32)
                ),
                X.astype(np.float32),
            ),
            TypeError,
            "rebuild the module Scores",
        ),
        (
            lambda: make_pipeline(FunctionTransformer(lambda X: X), _quick()).fit(X, Y),
            TypeError,
            "step FunctionTransformer cannot be written",
        ),
        (lambda: "model", TypeError, "str has no form"),
        (lambda: nn.Linear(4, 3), TypeError, "Linear has no form in a file"),
    ],
)
def test_what_has_no_form_in_a_file_is_refused_by_name_and_leaves_what_was_there(make, error, match, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"before")
    with pytest.raises(error, match=match):
        save(make(), path)
    assert path.read_bytes() == b"before"


def _quick():
    return VanillaClassifier(max_epochs=1)


def test_weights_that_were_changed_after_the_fit_are_those_of_the_file(again):
    clf = LinearClassifier().fit(X, Y)
    with torch.no_grad():
        clf.module_.layers[0].weight.mul_(2)
    same(clf, again(clf))
    clf.net_.module_ = clf.module_.double()
    loaded = again(clf)
    assert next(loaded.module_.parameters()).dtype == torch.float64
    same(clf, loaded)


def test_a_loaded_classifier_can_be_retrained_moved_and_copied(again):
    loaded = again(_quick().fit(X, Y))
    loaded.set_params(device="cpu", explainer="logit_gradient")
    assert retrain(R2ETClassifier(k=2), loaded, X, Y, k=2, max_epochs=1).explain(X).shape == X.shape
    assert again(loaded).explainer == "logit_gradient"


def test_the_error_of_a_name_that_is_not_trusted_can_be_pickled():
    assert pickle.loads(pickle.dumps(UntrustedTypeError(["a.b"]))).names == ["a.b"]


def test_saving_and_loading_draw_no_random_numbers(again):
    clf = _quick().fit(X, Y)
    state = torch.random.get_rng_state()
    again(clf)
    assert torch.equal(torch.random.get_rng_state(), state)

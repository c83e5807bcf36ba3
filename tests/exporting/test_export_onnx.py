import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from robustxai import LinearClassifier, SoftplusClassifier, VanillaClassifier, as_explainable, export_onnx
from robustxai.certificates import certified_radius
from robustxai.explainers import (
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
    SmoothGrad,
)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
TWO = np.where(Y == 1, "yes", "no")
GROUPS = [[0, 1], [2, 3]]

EXPLAINERS = {
    **{output: Gradient(output) for output in ("probability", "log_odds", "logit", "cross_entropy")},
    "gradient x input": GradientTimesInput("log_odds", baseline=X.mean(axis=0)),
    "integrated gradients": IntegratedGradients(3, 0.5),
    "one point": IntegratedGradients(1, output="cross_entropy"),
    "contributions": ColumnContributions(groups=GROUPS, n_points=3),
    "contributions against": ColumnContributions("gradient_times_input", groups=GROUPS, side="against"),
    "centered": CenteredGradient(groups=GROUPS, frequencies=[0.2, 0.8, 0.5, 0.5]),
}


@pytest.fixture
def run(tmp_path):
    """Return a function that exports a model, runs the graph at rows, and returns the outputs by name."""

    def call(model, rows=X, **options):
        export_onnx(model, tmp_path / "model.onnx", **options)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}[session.get_inputs()[0].type]
        found = dict(zip(names, session.run(None, {"X": np.asarray(rows, dtype=kind)})))
        return {**found, "metadata": session.get_modelmeta().custom_metadata_map}

    return call


def models(activation, y, **params):
    params = {"max_epochs": 3, "module__hidden": (5, 4), "module__activation": activation, **params}
    return VanillaClassifier(**params).fit(X, y)


@pytest.fixture(scope="module")
def three():
    return models("softplus", Y, module__beta=3.0, module__skip=True)


@pytest.fixture(scope="module")
def two():
    return SoftplusClassifier(max_epochs=30, module__hidden=(6, 4), module__beta=2.0).fit(X, TWO)


def same(found, model, rows=X, *, explainer=None, y=None, atol=1e-5):
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), rtol=0, atol=atol)
    np.testing.assert_array_equal(model.classes_[found["label"]], model.predict(rows))
    expected = np.asarray(model.explain(rows, y, explainer=explainer))
    np.testing.assert_allclose(found["attribution"], expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_runtime_returns_what_torch_returns_for_every_explainer(name, three, two, run):
    explainer = EXPLAINERS[name]
    same(run(three, explainer=explainer), three, explainer=explainer)
    same(run(two, explainer=explainer, y="no"), two, explainer=explainer, y="no")


@pytest.mark.parametrize("activation", ["relu", "softplus", "sigmoid", "tanh", "silu"])
def test_every_activation_is_written(activation, run):
    model = models(activation, Y)
    same(run(model), model)


def test_a_thousand_rows_and_one_row_and_none(three, run):
    rows = np.random.default_rng(0).normal(scale=3, size=(1000, 4)).astype(np.float32)
    same(run(three, rows), three, rows)
    same(run(three, rows[:1]), three, rows[:1])
    assert run(three, rows[:0])["attribution"].shape == (0, 4)


class Scores(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def _of_skorch():
    def make():
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.1), nn.Linear(3, 1))

    net = NeuralNetBinaryClassifier(make, max_epochs=1, verbose=0).fit(X, (Y == 1).astype(np.float32))
    return as_explainable(net, X)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearClassifier().fit(X, Y),
        lambda: VanillaClassifier(module="additive", module__n_units=3, max_epochs=2).fit(X, Y),
        lambda: as_explainable(MLPClassifier((4,), max_iter=400, tol=1e-2).fit(X.astype(float), Y), X),
        lambda: as_explainable(nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2)), X),
        _of_skorch,
    ],
)
def test_other_networks_are_written(make, run):
    model = make()
    same(run(model), model)


def test_models_of_scikit_learn_and_pipelines_are_written_in_the_features_of_their_last_step(run):
    pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, TWO)
    rows = pipe[:-1].transform(X).astype(np.float64)
    found = run(pipe, rows, explainer="log_odds_gradient", y="yes")
    np.testing.assert_allclose(found["attribution"], np.broadcast_to(pipe[-1].coef_, X.shape), rtol=1e-12)
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), atol=1e-6)
    assert found["attribution"].dtype == np.float64


def test_the_metadata_name_classes_features_and_entries(two, run):
    found = run(two, explainer=ColumnContributions(groups=GROUPS, names=["sepal", "petal"]), k=1)["metadata"]
    assert json.loads(found["classes"]) == ["no", "yes"]
    assert json.loads(found["entries"]) == ["sepal", "petal"]
    assert json.loads(found["features"]) == ["x0", "x1", "x2", "x3"]
    assert json.loads(found["radius"])["k"] == 1


# ------------------------------------------------------------------------------------------------ the radius

RANKED = {
    "gradient": (Gradient(), "magnitude"),
    "signed": (Gradient("log_odds"), "signed"),
    "signed cross-entropy": (Gradient("cross_entropy"), "signed"),
    "contributions": (ColumnContributions(n_points=3, groups=[[0], [1], [2, 3]]), "signed"),
    "gradient x input": (GradientTimesInput("log_odds"), "magnitude"),
    "centered": (CenteredGradient(groups=GROUPS, frequencies=[0.2, 0.8, 0.5, 0.5]), "magnitude"),
}


@pytest.mark.parametrize(("name", "norm"), [(name, (2, "inf")[place % 2]) for place, name in enumerate(RANKED)])
def test_no_random_change_within_the_radius_changes_the_top_set(name, norm, two, run):
    explainer, ranking = RANKED[name]
    rows = X[::7].astype(np.float64)
    found = run(two, rows, explainer=explainer, k=1, norm=norm, ranking=ranking)["radius"].astype(np.float64)
    assert (found >= 0).all()
    assert (found > 0).mean() > 0.2
    rng, size = np.random.default_rng(0), (60, *rows.shape)
    steps = rng.normal(size=size) if norm == 2 else rng.choice([-1.0, 1.0], size)
    steps /= np.linalg.norm(steps, ord=2 if norm == 2 else np.inf, axis=-1, keepdims=True)
    steps[0] = 0
    points = rows + steps * found[:, None] * (1 - 1e-6)
    scores = two.explain(points.reshape(-1, 4), np.tile(two.predict(rows), 60), explainer=explainer)
    top = (np.abs(scores) if ranking == "magnitude" else scores).argmax(axis=1).reshape(60, -1)
    np.testing.assert_array_equal(top, np.broadcast_to(top[0], top.shape))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_the_radius_is_not_larger_than_what_tighter_bounds_prove(activation, run):
    model = models(activation, TWO, max_epochs=20)
    rows = X[::5]
    found = run(model, rows, k=2, norm="inf", epsilon=2.0)["radius"]
    tighter = certified_radius(model, rows, k=2, norm="inf", max_epsilon=2.0, method="best")
    if activation != "relu":  # whose slopes jump, which the tighter methods bound by intervals in part
        assert (found <= tighter * 1.001 + 1e-6).mean() > 0.95
    assert 0 < found.mean() < 2.0


def test_a_radius_is_that_of_a_naive_bisection(two, run):
    """In torch, with the formulas of interval arithmetic written out for one hidden layer."""
    model = models("tanh", TWO, module__hidden=(4,))
    hidden, _, last = model.module_.double().layers
    w, b, v = (t.detach().numpy() for t in (hidden.weight, hidden.bias, last.weight[1] - last.weight[0]))

    def proven(x, e):
        z, r = w @ x + b, e * np.abs(w).sum(axis=1)
        ends = 1 - np.tanh(np.stack([z - r, z + r])) ** 2
        low, high = ends.min(axis=0), np.where(np.abs(z) <= r, 1.0, ends.max(axis=0))
        terms = np.stack([v * low, v * high])[:, :, None] * w
        low, high = terms.min(axis=0).sum(axis=0), terms.max(axis=0).sum(axis=0)
        scores = np.abs((v * (1 - np.tanh(z) ** 2)) @ w)
        first = scores.argmax()
        lower = max(low[first], -high[first], 0.0)
        return lower - np.delete(np.maximum(high, -low), first).max() > 1e-6 * scores.max()

    expected = []
    for x in X[::10].astype(np.float64):
        inside, outside = 0.0, 1.0
        for _ in range(12):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if proven(x, middle) else (inside, middle)
        expected.append(1.0 if proven(x, 1.0) else inside)
    assert 0 < np.mean(expected) < 1
    np.testing.assert_allclose(run(model, X[::10], k=1, norm="inf")["radius"], expected, atol=1e-5)


def test_a_linear_model_keeps_its_order_within_any_radius(run):
    model = LinearClassifier().fit(X, TWO)
    np.testing.assert_array_equal(run(model, k=2, epsilon=7.0)["radius"], 7.0)
    tied = as_explainable(LogisticRegression().fit(X[:, [0, 0, 1]], TWO))
    tie_at_the_border = abs(tied.estimator_.coef_).argmax() < 2
    np.testing.assert_array_equal(run(tied, X[:, [0, 0, 1]], k=1)["radius"], 0.0 if tie_at_the_border else 1.0)
    np.testing.assert_array_equal(run(tied, X[:, [0, 0, 1]], k=2)["radius"], 1.0 if tie_at_the_border else 0.0)


# ------------------------------------------------------------------------------------------------ refused


class Own(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("params", "options", "error", "match"),
    [
        ({"module": Own}, {}, NotImplementedError, "Own is neither"),
        ({"module__activation": nn.Mish}, {}, NotImplementedError, "Mish is neither"),
        ({"module__activation": "silu"}, {"k": 1}, NotImplementedError, "bounds of SiLU"),
        ({}, {"explainer": SmoothGrad()}, NotImplementedError, "SmoothGrad is none"),
        ({}, {"explainer": Gradient("logit"), "k": 1}, NotImplementedError, "output='log_odds'"),
        ({}, {"explainer": IntegratedGradients(), "k": 1}, NotImplementedError, "output='log_odds'"),
        ({}, {"k": 4}, ValueError, "smaller than the number of entries, 4"),
        ({}, {"y": "maybe"}, ValueError, "'maybe' is none of the classes"),
    ],
)
def test_what_is_not_written_is_refused_by_name(params, options, error, match, tmp_path):
    model = VanillaClassifier(max_epochs=1, **params).fit(X, TWO)
    with pytest.raises(error, match=match):
        export_onnx(model, tmp_path / "model.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_radius_of_three_classes_is_refused(three, tmp_path):
    with pytest.raises(NotImplementedError, match="for two classes, and this model has 3"):
        export_onnx(three, tmp_path / "model.onnx", k=1)


def test_without_the_package_the_extra_is_named(three, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"robustxai\[onnx\]"):
        export_onnx(three, tmp_path / "model.onnx")


def test_weights_are_stored_once(run, tmp_path):
    model = models("tanh", TWO, module__hidden=(200,))
    size = model.module_.layers[0].weight.numel() * 8
    sizes = []
    for options in ({}, {"k": 1}):
        export_onnx(model, tmp_path / "model.onnx", **options)
        sizes.append((tmp_path / "model.onnx").stat().st_size)
    assert sizes[1] - sizes[0] < 150_000 + 4 * size


def test_the_module_is_left_as_it_was(three, run):
    before = [p.clone() for p in three.module_.parameters()]
    run(three)
    assert all(torch.equal(a, b) for a, b in zip(before, three.module_.parameters()))

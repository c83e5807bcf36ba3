"""Images, graphs and pairs: the network that the data ask for, and what is said where the two do not fit."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from robustxai.classifiers import (
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    _chunks,
)
from robustxai.explainers import Gradient
from robustxai.nets import MLP, ConvNet, GraphNet, ResNet9, Siamese

from .test_all import states_equal

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 24)


def drawn(*shape):
    """Rows of this shape whose mean tells the class."""
    return RNG.normal(size=(24, *shape)) + LABELS.reshape(-1, *(1,) * len(shape))


def symmetric(X):
    return (X + X.swapaxes(-1, -2)) / 2


TABLE, IMAGES = drawn(5), drawn(2, 8, 8)
GRAPHS, PAIRS = symmetric(drawn(5, 5)), drawn(2, 1, 8, 8)
GRAPH_PAIRS = symmetric(drawn(2, 1, 5, 5))
LITTLE = {"max_epochs": 2, "batch_size": 12}

#: Data, the parameters of the classifier and the network that comes of them.
KINDS = {
    "table": (TABLE, {}, MLP),
    "images": (IMAGES, {"module__channels": (3, 3)}, ConvNet),
    "graphs": (GRAPHS, {"module__hidden": (4,)}, GraphNet),
    "graphs with a channel": (GRAPHS[:, None], {"module": GraphNet}, GraphNet),
    "pairs": (PAIRS, {"module__embedding": 3}, Siamese),
    "pairs of graphs": (GRAPH_PAIRS, {"module__encoder": "graph"}, Siamese),
    "residual": (IMAGES, {"module": ResNet9, "module__width": 2}, ResNet9),
}
every_kind = pytest.mark.parametrize(("X", "params", "net"), KINDS.values(), ids=list(KINDS))


@every_kind
def test_the_data_choose_the_network(X, params, net):
    clf = R2ETClassifier(k=3, **LITTLE, **params).fit(X, LABELS)
    assert type(clf.module_) is net
    explained = clf.explain(X)
    x = torch.as_tensor(X, dtype=torch.float32)
    assert explained.shape == X.shape
    by_hand = Gradient()(clf.module_, x, clf.encode_target(X))
    np.testing.assert_allclose(explained, by_hand, rtol=1e-3, atol=1e-6)
    assert {"gap", "hessian"} <= set(clf.history_[-1])
    assert states_equal(clone(clf).fit(X, LABELS), clf)
    assert np.array_equal(pickle.loads(pickle.dumps(clf)).explain(X), explained)


@every_kind
def test_what_a_defense_asks_for_reaches_the_network(X, params, net):
    def kinks_and_betas(clf):
        modules = list(clf.fit(X, LABELS).module_.modules())
        return any(isinstance(m, nn.ReLU) for m in modules), {m.beta for m in modules if isinstance(m, nn.Softplus)}

    params = {**LITTLE, **params, "max_epochs": 1}
    assert kinks_and_betas(SoftplusClassifier(beta=3.0, **params)) == (False, {3.0})
    assert kinks_and_betas(VanillaClassifier(**params)) == (True, set())
    assert kinks_and_betas(VanillaClassifier(module__activation="tanh", **params)) == (False, set())


@pytest.mark.parametrize("kind", ["images", "graphs", "pairs", "residual"])
def test_training_learns(kind):
    X, params, _ = KINDS[kind]
    clf = SoftplusClassifier(max_epochs=40, batch_size=12, lr=0.03, **params).fit(X, LABELS)
    assert clf.score(X, LABELS) > 0.9


def test_auto_is_the_default_and_no_parameter_until_given():
    named, silent = VanillaClassifier(module="auto", **LITTLE), VanillaClassifier(**LITTLE)
    assert "module" not in silent.get_params()
    assert clone(named).get_params() == {**silent.get_params(), "module": "auto"}
    assert states_equal(named.fit(TABLE, LABELS), silent.fit(TABLE, LABELS))
    assert states_equal(VanillaClassifier(module=MLP, **LITTLE).fit(TABLE, LABELS), silent)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_penalties_do_not_move_running_statistics(activation):
    """One step on all rows: the statistics are those of the cross-entropy's pass, whatever else there was."""
    options = {"max_epochs": 1, "batch_size": -1, "module": ResNet9, "module__width": 2}
    options |= {"module__activation": activation, "module__beta": 2.0}
    plain = VanillaClassifier(**options).fit(IMAGES, LABELS).module_
    robust = R2ETClassifier(k=3, **options).fit(IMAGES, LABELS).module_
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), robust.parameters()))
    for ours, theirs in zip(robust.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs)


# ------------------------------------------------------------------ data and networks that do not fit


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        (TABLE, {"module": ConvNet}, r"ConvNet takes images.*got X of shape \(n, 5\)"),
        (TABLE, {"module": GraphNet}, r"GraphNet takes graphs.*got X of shape \(n, 5\)"),
        (IMAGES[:, :1], {"module": Siamese}, "Siamese takes pairs.*Stack the two inputs of a pair along axis 1"),
        (IMAGES, {"module": MLP}, r"MLP takes tables.*got X of shape \(n, 2, 8, 8\)"),
        (IMAGES[:, 0], {"module": ConvNet}, r"X\[:, None\]"),
        (IMAGES[:, 0], {}, r"not symmetric \(row 0 of X is not\).*X\[:, None\]"),
        (IMAGES[:, 0, :, :5], {}, r"does not hold square matrices.*X\[:, None\]"),
        (IMAGES[:, :1], {"module": GraphNet}, "not symmetric"),
        (PAIRS, {"module__encoder": "graph"}, "not symmetric"),
        (IMAGES[..., :3], {}, "needs sides of at least 4 pixels"),
        (PAIRS[:, [0, 1, 0]], {}, r"module='auto' has no network for X of shape \(24, 3, 1, 8, 8\)"),
        (IMAGES, {"module__skip": True}, "is ConvNet for X of shape .* no parameter 'skip'"),
        (TABLE, {"module__chanels": (3,)}, "Did you mean 'module__channels'"),
        (TABLE, {"module": "Auto"}, "Did you mean 'auto'"),
    ],
)
def test_what_is_said_before_training(X, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        VanillaClassifier(lr=1e30, **params).fit(X, LABELS)  # a training with that rate would say something else


@pytest.mark.parametrize(
    ("fitted", "X"),
    [
        (IMAGES, IMAGES[:, :1]),
        (IMAGES, IMAGES[..., :7]),
        (IMAGES, IMAGES[:, 0]),
        (IMAGES, TABLE),
        (GRAPHS, GRAPHS[:, :4, :4]),
        (GRAPHS, GRAPHS[:, None]),
        (PAIRS, PAIRS[:, :1]),
    ],
)
def test_other_shapes_than_in_fit(fitted, X):
    clf = VanillaClassifier(max_epochs=1).fit(fitted, LABELS)
    for method in (clf.predict, clf.predict_proba, clf.explain, clf.encode_target):
        with pytest.raises(ValueError, match=r"X holds samples of shape .* built for samples of shape"):
            method(X)


def test_a_table_s_classifier_is_given_images():
    clf = VanillaClassifier(max_epochs=1).fit(drawn(2), LABELS)
    with pytest.raises(ValueError, match=r"MLP takes tables.*got X of shape \(n, 2, 8, 8\)"):
        clf.predict(IMAGES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_entries_that_are_not_finite(value):
    X = GRAPHS.copy()
    X[3, 1, 2] = value
    clf = VanillaClassifier(max_epochs=1).fit(GRAPHS, LABELS)
    for method in (clf.predict, clf.explain, lambda X: clf.fit(X, LABELS)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(X)


def test_moved_entries_of_a_graph_are_taken():
    """Attacks, masks and noise move entries one by one; the network reads the symmetric part."""
    clf = VanillaClassifier(max_epochs=1).fit(GRAPHS, LABELS)
    X = GRAPHS.copy()
    X[:, 0, 1] += 0.2
    assert np.array_equal(clf.explain(X), clf.explain(X).swapaxes(1, 2))
    np.testing.assert_allclose(clf.predict_proba(X), clf.predict_proba(symmetric(X)), rtol=1e-6)


def test_a_linear_model_stays_a_table_s():
    with pytest.raises(ValueError, match="MLP takes tables"):
        LinearClassifier().fit(IMAGES, LABELS)


# ------------------------------------------------------------------ large inputs


def test_images_go_through_in_smaller_chunks(monkeypatch):
    clf = SoftplusClassifier(max_epochs=1, module__channels=(3,)).fit(IMAGES, LABELS)
    many = np.tile(IMAGES, (4, 1, 1, 1))[:70]
    whole, seen = clf.explain(many), []
    monkeypatch.setattr(_chunks, "_CHUNK_ENTRIES", 128 * 40)
    handle = clf.module_.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    parts = clf.explain(many, y=clf.predict(many))
    handle.remove()
    assert seen == [32, 32, 32] * 2
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "rows"), [((9, 5000), 4096), ((9, 1, 4, 4), 4096), ((9, 3, 32, 32), 320), ((9, 2000, 2000), 32)]
)
def test_the_size_of_chunks(shape, rows):
    assert _chunks.chunk_size(np.broadcast_to(0.0, shape)) == rows


def test_a_network_by_name():
    X = np.random.default_rng(0).uniform(size=(8, 3, 8, 8)).astype(np.float32)
    clf = VanillaClassifier(module="resnet9", module__width=4, max_epochs=1).fit(X, np.arange(8) % 2)
    assert type(clf.module_).__name__ == "ResNet9"
    with pytest.raises(ValueError, match=r"module='resnet' is not known.*resnet9"):
        VanillaClassifier(module="resnet").fit(X, np.arange(8) % 2)
    with pytest.raises(TypeError, match=r"no parameter 'module__width'"):
        VanillaClassifier(module="conv", module__width=4)

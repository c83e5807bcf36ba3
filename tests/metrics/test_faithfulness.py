import numpy as np
import pandas as pd
import pytest
import torch

from robustxai.metrics import _inputs, comprehensiveness, decision_flip_fraction, sufficiency

from .doubles import Double

METRICS = pytest.mark.parametrize("metric", [comprehensiveness, sufficiency, decision_flip_fraction])


def naive(metric, estimator, X, attribution, baseline, ks, ranking):
    """Loops over samples and counts."""
    result = []
    for x, a in zip(X, attribution):
        scores = np.abs(a) if ranking == "magnitude" else a
        scores = (scores.sum(axis=0) if scores.ndim == 3 else scores).ravel()
        order = np.argsort(-scores, kind="stable")
        before = estimator.predict_proba(x[None])[0]
        changes, fraction = [], 1.0
        for k in ks:
            flat = x.copy().reshape(-1, len(scores))  # channels (one for a table) by units
            units = order[k:] if metric is sufficiency else order[:k]
            flat[:, units] = baseline
            after = estimator.predict_proba(flat.reshape(x.shape)[None])[0]
            changes.append(abs(before[before.argmax()] - after[before.argmax()]))
            if fraction == 1.0 and after.argmax() != before.argmax():
                fraction = k / len(scores)
        result.append(fraction if metric is decision_flip_fraction else np.mean(changes))
    return result


@METRICS
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("budget", [7, 2**20])
def test_equals_the_loops(metric, ranking, budget, net, monkeypatch):
    X = np.random.default_rng(5).normal(size=(40, 6))
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", budget)
    attribution = net.explain(X)
    expected = naive(metric, net, X, attribution, 0.0, range(1, 7), ranking)
    assert len(set(expected)) > 2
    np.testing.assert_allclose(metric(net, X, ranking=ranking), expected)
    np.testing.assert_allclose(metric(net, pd.DataFrame(X), attribution, baseline=0.0, ranking=ranking), expected)
    expected = naive(metric, net, X, attribution, 0.7, [2, 5], ranking)
    np.testing.assert_allclose(metric(net, X, baseline=0.7, ks=[2, 5], ranking=ranking), expected)


@METRICS
def test_equals_the_loops_on_images(metric, image_net, images):
    ks = range(1, 21) if metric is decision_flip_fraction else [1, 2, 4, 10]
    expected = naive(metric, image_net, images, image_net.explain(images), -3.0, ks, "magnitude")
    np.testing.assert_allclose(metric(image_net, images, baseline=-3.0), expected)


def test_a_feature_that_does_not_matter_is_seen():
    module = torch.nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    model, X = Double(module, classes=(0, 1)), np.ones((1, 3))
    faithful, idle = [[3.0, 1.0, 2.0]], [[1.0, 3.0, 2.0]]
    assert comprehensiveness(model, X, idle, ks=[1]) == [0.0]
    assert comprehensiveness(model, X, faithful, ks=[1]) > 0
    assert decision_flip_fraction(model, X, faithful) == [1 / 3]
    assert decision_flip_fraction(model, X, idle) == [1.0]  # the logits are equal when all is removed
    assert sufficiency(model, X, faithful, ks=[2]) == [0.0]
    assert sufficiency(model, X, idle, ks=[3]) == [0.0]  # everything is kept


def test_one_order_of_counts_is_as_good_as_another(net, X):
    np.testing.assert_array_equal(
        decision_flip_fraction(net, X, ks=[5, 1, 3]), decision_flip_fraction(net, X, ks=[1, 3, 5])
    )


def test_wide_inputs_flip_at_whole_percents():
    module = torch.nn.Linear(400, 2, bias=False).double()
    with torch.no_grad():
        module.weight.zero_()
        module.weight[1, :10] = 1.0
        module.weight[0, 399] = 0.5
    X = np.ones((1, 400))
    attribution = np.arange(400, 0, -1.0)[None]  # the ten features of class 1 first: it falls with the tenth
    model = Double(module, classes=(0, 1))
    assert decision_flip_fraction(model, X, attribution, ks=range(1, 401)) == [10 / 400]
    assert decision_flip_fraction(model, X, attribution) == [12 / 400]

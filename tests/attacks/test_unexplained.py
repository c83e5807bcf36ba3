"""Black boxes whose explanation fails now and then, or differs from call to call."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from robustxai import VanillaClassifier
from robustxai.attacks import AutoExplanationAttack, BlackBox, ERAttack, NESAttack, RandomAttack, strongest
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import precision_at_k
from robustxai.model_selection import PrecisionAtKScorer
from robustxai.perturbation import ThreatModel


@pytest.fixture(scope="module")
def data():
    return make_classification(40, 6, n_informative=5, n_redundant=0, random_state=0)


@pytest.fixture(scope="module")
def forest(data):
    return LogisticRegression().fit(*data)


class Saliency:
    """An explanation that depends on x, and fails as it is told."""

    def __init__(self, model, fails=None):
        self.weights, self.fails, self.calls = model.coef_[0], fails, 0

    def __call__(self, X):
        X = np.asarray(X)
        self.calls += 1
        attribution = np.sin(2 * X) + 0.3 * self.weights
        if self.fails is not None:
            attribution[self.fails(X, self.calls)] = np.nan
        return attribution


def every_thirtieth(X, calls):
    """Some rows of some calls, whichever they are."""
    return (np.arange(len(X)) + calls) % 30 == 0


def far_out(X, calls):
    """Rows in a part of the space, always."""
    return X[:, 0] > 1.0


def infinite_rows(X, calls):
    return (np.arange(len(X)) + 7 * calls) % 50 == 0


ATTACKS = {
    "random": lambda victim, **p: RandomAttack(victim, max_iter=10, **p),
    "nes": lambda victim, **p: NESAttack(victim, max_iter=5, **p),
    "ensemble": lambda victim, **p: AutoExplanationAttack(victim, preset="fast", **p),
}


@pytest.mark.parametrize("fails", [every_thirtieth, far_out, infinite_rows])
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.filterwarnings("ignore")
def test_the_run_goes_on_and_counts(name, fails, data, forest):
    X = data[0]
    victim = BlackBox(forest, Saliency(forest, fails))
    found = ATTACKS[name](victim, k=2, threat=ThreatModel(epsilon=0.5)).run(X)
    assert found.unexplained.sum() > 0
    assert np.isfinite(found.X_adv).all()
    missing = np.isnan(found.precision_at_k)
    np.testing.assert_array_equal(missing, far_out(X, 0) if fails is far_out else np.zeros(len(X), bool))
    expected = precision_at_k(found.attribution[~missing], found.attribution_adv[~missing], 2)
    np.testing.assert_array_equal(found.precision_at_k[~missing], expected)
    assert found.mean_precision == pytest.approx(expected.mean())
    assert "NaN" in found.summary()
    assert "nan" not in repr(found)
    steps = np.linalg.norm(found.X_adv - X, axis=1)
    assert (steps <= 0.5).all()
    if fails is far_out:  # no point without an explanation is returned
        assert not far_out(found.X_adv[~missing], 0).any()


@pytest.mark.filterwarnings("ignore")
def test_what_does_not_fail_is_found_as_without_failures(data, forest):
    """Rows that no failure touches have the result that they have in a run without any."""
    X = data[0]
    whole = RandomAttack(BlackBox(forest, Saliency(forest)), k=2, max_iter=10).run(X)
    part = RandomAttack(BlackBox(forest, Saliency(forest, far_out)), k=2, max_iter=10).run(X)
    same = part.unexplained == 0
    assert same.any()
    assert not same.all()
    np.testing.assert_array_equal(part.precision_at_k[same], whole.precision_at_k[same])


@pytest.mark.filterwarnings("ignore")
def test_rows_without_an_explanation_are_named_and_left_out(data, forest):
    X = data[0]
    victim = BlackBox(forest, Saliency(forest, far_out))
    attack = RandomAttack(victim, k=2, max_iter=3)
    first = int(far_out(X, 0).argmax())
    with pytest.warns(EvaluationWarning, match=rf"rows have no explanation .*the first is row {first}\)"):
        found = attack.run(X)
    assert f"{far_out(X, 0).sum()} rows without an explanation" in found.summary()
    assert found.to_frame()["precision_at_k"].isna().sum() == far_out(X, 0).sum()
    both = strongest([found, found])
    np.testing.assert_array_equal(both.precision_at_k, found.precision_at_k)
    np.testing.assert_array_equal(both.unexplained, 2 * found.unexplained)
    assert np.isfinite(PrecisionAtKScorer(attack)(victim, X))


@pytest.mark.filterwarnings("ignore")
def test_none_has_an_explanation(data, forest):
    victim = BlackBox(forest, Saliency(forest, lambda X, calls: np.ones(len(X), bool)))
    found = RandomAttack(victim, k=2, max_iter=3).run(data[0])
    assert np.isnan(found.precision_at_k).all()
    assert "None of 40 rows" in found.summary()


@pytest.mark.filterwarnings("ignore")
def test_frames(data, forest):
    X = pd.DataFrame(data[0], columns=list("abcdef"))
    victim = BlackBox(LogisticRegression().fit(X, data[1]), Saliency(forest, every_thirtieth))
    found = RandomAttack(victim, k=2, max_iter=10).run(X)
    assert found.unexplained.sum() > 0
    assert list(found.attribution.columns) == list("abcdef")


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_random_explainer_is_announced(name, epsilon, data, forest):
    rng = np.random.default_rng(0)
    noisy = BlackBox(forest, lambda X: np.sin(2 * np.asarray(X)) + rng.normal(size=np.shape(X)))
    attack = ATTACKS[name](noisy, k=2, threat=ThreatModel(epsilon=epsilon))
    with pytest.warns(EvaluationWarning, match="the explainer is random: two explanations of the same rows"):
        attack.run(data[0])


@pytest.mark.parametrize("name", ATTACKS)
def test_a_steady_explainer_is_not(name, data, forest):
    steady = BlackBox(forest, lambda X: np.sin(2 * np.asarray(X)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ATTACKS[name](steady, k=2, threat=ThreatModel(epsilon=0.5)).run(data[0])
    assert not [w for w in caught if "random" in str(w.message)]


@pytest.mark.filterwarnings("ignore")
def test_an_explainer_of_the_user_on_a_network(data):
    """A callable on a module of the library: failures and noise are seen there as well."""

    def fails(module, x, target, *, logits=None, create_graph=False):
        slope = torch.sin(2 * x)
        return torch.where((x[:, :1] > 1.0), torch.nan, slope)

    model = VanillaClassifier(max_epochs=1, module__activation="softplus", explainer=fails).fit(*data)
    found = ERAttack(model, k=2, max_iter=3, threat=ThreatModel(epsilon=0.3)).run(data[0])
    np.testing.assert_array_equal(np.isnan(found.precision_at_k), data[0][:, 0].astype(np.float32) > 1.0)

    def noise(module, x, target, *, logits=None, create_graph=False):
        return torch.sin(2 * x) + torch.rand_like(x)

    model.set_params(explainer=noise)
    with pytest.warns(EvaluationWarning, match="random"):
        ERAttack(model, k=2, max_iter=3).run(data[0])

import numpy as np
import pytest
import torch

from robustxai.attacks import FGSM
from robustxai.perturbation import ThreatModel

from .conftest import Victim


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("labeled", [False, True])
def test_on_a_linear_model_it_is_one_step_in_closed_form(norm, labeled):
    """grad CE = sum_j p_j w_j - w_c."""
    rng = np.random.default_rng(0)
    weights, X, epsilon = rng.normal(size=(3, 5)), rng.normal(size=(20, 5)), 0.4
    layer = torch.nn.Linear(5, 3, bias=False)
    layer.weight.data = torch.tensor(weights, dtype=torch.float32)
    victim = Victim(layer)
    victim.classes_ = np.array(["a", "b", "c"])
    y = rng.choice(victim.classes_, size=20) if labeled else None
    X_adv = FGSM(victim, threat=ThreatModel(epsilon, norm=norm)).fit(X).transform(X, y)
    for x, moved, label in zip(X, X_adv, victim.predict(X) if y is None else y):
        logits = weights @ x
        p = np.exp(logits) / np.exp(logits).sum()
        gradient = p @ weights - weights["abc".index(label)]
        step = np.sign(gradient) if norm == "inf" else gradient / np.sqrt((gradient**2).sum())
        np.testing.assert_allclose(moved - x, epsilon * step, rtol=1e-4, atol=1e-6)


def test_the_step_is_cut_by_the_box(victim, X):
    threat = ThreatModel(0.5, norm="inf", bounds=(X.min(axis=0), X.max(axis=0)))
    X_adv = FGSM(victim, threat=threat).fit_transform(X)
    free = FGSM(victim, threat=ThreatModel(0.5, norm="inf")).fit_transform(X)
    np.testing.assert_allclose(X_adv, np.clip(free, X.min(axis=0), X.max(axis=0)), atol=1e-6)


def test_there_is_nothing_random_and_no_number_of_steps(victim):
    assert set(FGSM(victim).get_params(deep=False)) == {"estimator", "threat", "epsilon", "norm", "batch_size"}

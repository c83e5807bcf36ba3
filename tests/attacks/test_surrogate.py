"""What a gradient attack follows where the network has no second derivative, and what it says where nothing is left."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai.attacks import (
    AutoExplanationAttack,
    BoundaryMarginAttack,
    ERAttack,
    NESAttack,
    RandomAttack,
    SoftOverlapAttack,
)
from robustxai.attacks import _base as base
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import Gradient, SmoothGrad
from robustxai.perturbation import ThreatModel

from .conftest import Victim

NOTHING = "no derivative, or one that only rescales it"


def normal_(module, scale):
    """Weights from a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for layer in module.modules():
            if hasattr(layer, "weight"):
                nn.init.normal_(layer.weight, std=scale / layer.weight[0].numel() ** 0.5)
                nn.init.zeros_(layer.bias)
    return module


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(40, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("attack", [ERAttack, BoundaryMarginAttack])
def test_max_pooling_hides_a_gradient_and_its_stand_in_finds_it(attack, images, monkeypatch):
    def half(activation):
        return activation(), nn.MaxPool2d(2)

    layers = nn.Conv2d(1, 6, 3, padding=1), *half(nn.ReLU), nn.Conv2d(6, 8, 3, padding=1), *half(nn.ReLU)
    victim = Victim(normal_(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 2)), 1.5))
    options = {"k": 8, "threat": ThreatModel(0.3), "max_iter": 25}
    floor = RandomAttack(victim, **options).run(images).precision_at_k.mean()
    found = attack(victim, **options).run(images).precision_at_k.mean()

    surrogate = base.softplus_surrogate

    def with_hard_pooling(module):
        smooth = surrogate(module)
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(smooth, name, child)
        return smooth

    monkeypatch.setattr(base, "softplus_surrogate", with_hard_pooling)
    relu_alone = attack(victim, **options).run(images).precision_at_k.mean()
    monkeypatch.setattr(base, "has_piecewise_linear", lambda module: False)
    with pytest.warns(EvaluationWarning, match=NOTHING):
        blind = attack(victim, **options).run(images).precision_at_k.mean()
    assert found < floor - 0.1
    assert found < relu_alone - 0.1
    assert found < blind - 0.3


def test_smooth_units_between_poolings_are_attacked_through_the_stand_in_too(images):
    layers = nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(beta=3.0), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 2)
    victim = Victim(normal_(nn.Sequential(*layers), 1.5))
    options = {"k": 8, "threat": ThreatModel(0.5), "max_iter": 15}
    found = ERAttack(victim, **options).run(images).precision_at_k.mean()
    assert found < RandomAttack(victim, **options).run(images).precision_at_k.mean() - 0.1
    assert victim.module_[1].beta == 3.0


# ------------------------------------------------------------------------------------------------ nothing to follow


class Functional(nn.Module):
    """Two layers of ReLUs that are no modules."""

    def __init__(self, n_features=8):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, 24), nn.Linear(24, 24)
        self.last = nn.Linear(24, 2)
        normal_(self, 1.5)

    def forward(self, x):
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


class Rounded:
    """The gradient at the nearest corner of a grid: constant around nearly every input."""

    def __call__(self, module, x, target, *, logits=None, create_graph=False):
        return Gradient("logit")(module, (4 * x.detach()).round() / 4, target).detach()


@pytest.fixture
def options():
    return {"k": 3, "threat": ThreatModel(0.5)}


@pytest.mark.parametrize("output", ["logit", "log_odds", "probability", "cross_entropy"])
@pytest.mark.parametrize("attack", [ERAttack, BoundaryMarginAttack, SoftOverlapAttack])
def test_relus_that_are_no_modules_are_told(attack, output, X, options):
    """The probability of a ReLU network has a second derivative, but one that only rescales its gradient."""
    victim = Victim(Functional(), Gradient(output))
    for use in ("run", "fit_transform"):
        with pytest.warns(EvaluationWarning, match=NOTHING) as caught:
            getattr(attack(victim, max_iter=3, batch_size=10, **options), use)(X)
        assert len(caught) == 1  # not once a chunk
        assert "nn.ReLU" in str(caught[0].message)
        assert "NESAttack" in str(caught[0].message)


def test_an_explainer_that_is_constant_around_every_input_is_told(victim, X, options):
    victim = Victim(explainer=Rounded())
    with pytest.warns(EvaluationWarning, match=NOTHING):
        result = ERAttack(victim, max_iter=5, **options).run(X)
    assert len(np.unique(np.abs(result.attribution[:, 0]))) > 1


@pytest.mark.parametrize(
    "victim",
    [
        Victim(),
        Victim(Functional(), SmoothGrad(n_draws=4, sigma=0.5)),  # a mean of gradients: their weights change
        Victim(normal_(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), 1.5)),
        Victim(normal_(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)), 1.5), Gradient("probability")),
        Victim(
            normal_(nn.Linear(8, 2), 1.0), Gradient("probability")
        ),  # linear: AutoExplanationAttack has words for it
    ],
    ids=["smooth", "mean of gradients", "stand-in", "tanh", "linear"],
)
def test_nothing_is_said_where_there_is_a_derivative_or_nothing_to_find(victim, X, options):
    """EvaluationWarning is an error in these tests."""
    for attack in (ERAttack, BoundaryMarginAttack):
        assert attack(victim, max_iter=3, **options).run(X).precision_at_k.shape == (24,)


def test_attacks_without_gradients_do_not_miss_any(X, options):
    for attack in (NESAttack, RandomAttack):
        assert attack(Victim(Functional()), max_iter=5, **options).run(X).precision_at_k.mean() < 1


def test_the_ensemble_says_it_once_and_goes_on_without_gradients(X, options):
    victim = Victim(Functional())
    with pytest.warns(EvaluationWarning) as caught:
        result = AutoExplanationAttack(victim, preset="fast", **options).run(X)
    about = [str(w.message) for w in caught if NOTHING in str(w.message)]
    assert len(about) == 1
    without = NESAttack(victim, max_iter=10, **options).run(X).precision_at_k
    assert (result.precision_at_k <= without).all()
    assert result.precision_at_k.mean() < 1

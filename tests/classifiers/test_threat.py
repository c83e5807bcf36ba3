"""``threat=`` of the defenses: the shorthand builds one, names are resolved, frozen features and boxes are kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from robustxai import (
    AdversarialTrainingClassifier,
    ARTClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    MapDiscrepancyClassifier,
    MARTClassifier,
    R2ETClassifier,
    TRADESClassifier,
)
from robustxai.engine import ExplainedBatch
from robustxai.explainers import Gradient
from robustxai.perturbation import ThreatModel

from .test_all import small, states_equal

OPTIONS = {
    AdversarialTrainingClassifier: {},
    ARTClassifier: {"k": 2, "max_iter": 1},
    CertifiedR2ETClassifier: {"k": 2, "n_rows": 4, "warm_up_epochs": 0},
    CrossLipschitzClassifier: {"k": 2},
    ExplanationATClassifier: {"k": 2},
    AttributionContrastClassifier: {"max_iter": 2, "n_points": 2},
    IGNormClassifier: {"max_iter": 2},
    MARTClassifier: {"max_iter": 2},
    TRADESClassifier: {"max_iter": 2},
    FARClassifier: {"max_iter": 1, "objective": "adv_aat"},
    IGRClassifier: {"max_iter": 1},
    MapDiscrepancyClassifier: {"max_iter": 1},
    R2ETClassifier: {"k": 2, "gap": "distance", "lambda_hessian": 0.0},
}
every_defense = pytest.mark.parametrize("cls", list(OPTIONS))


@every_defense
def test_the_shorthand_builds_a_threat_model(cls, data):
    one = small(cls, epsilon=0.3, norm="inf", **OPTIONS[cls])
    other = small(cls, threat=ThreatModel(0.3, np.inf), **OPTIONS[cls])
    assert one.training_threat() == other.training_threat() == ThreatModel(0.3, "inf")
    assert clone(other).training_threat() == other.training_threat()
    assert states_equal(one.fit(*data), other.fit(*data))


@every_defense
def test_a_shorthand_that_contradicts_is_refused(cls, data):
    with pytest.raises(ValueError, match=r"epsilon=0\.3 contradicts threat="):
        small(cls, epsilon=0.3, threat=ThreatModel(0.2), **OPTIONS[cls]).fit(*data)


@every_defense
def test_names_scales_and_frozen_features_are_those_of_the_columns(cls, data):
    X = pd.DataFrame(data[0], columns=[f"f{i}" for i in range(data[0].shape[1])])
    scale = np.ones(X.shape[1])
    scale[0] = 2.0
    by_name = ThreatModel(0.3, scale={"f0": 2.0}, frozen=["f1"])
    by_place = ThreatModel(0.3, scale=scale, frozen=[1])
    a, b = (small(cls, threat=threat, **OPTIONS[cls]).fit(X, data[1]) for threat in (by_name, by_place))
    assert states_equal(a, b)
    assert not states_equal(a, small(cls, epsilon=0.3, norm=2, **OPTIONS[cls]).fit(X, data[1]))


@pytest.mark.parametrize("cls", [AdversarialTrainingClassifier, ExplanationATClassifier])
def test_adversaries_keep_the_box_and_the_frozen_features(cls):
    x = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Softplus(), torch.nn.Linear(8, 2))
    threat = ThreatModel(0.5, bounds=(0, 1), frozen=[2], scale=[1.0, 0.1, 1.0, 1.0])
    adversary = cls(threat=threat, max_iter=3, **OPTIONS[cls]).adversary()
    moved = adversary(ExplainedBatch(net, x, Gradient(), y=torch.zeros(20, dtype=torch.int64)))
    assert ((moved >= 0) & (moved <= 1)).all()
    assert torch.equal(moved[:, 2], x[:, 2].detach())
    assert not torch.equal(moved, x.detach())
    assert (threat.lengths((moved - x).detach().double().numpy()) <= 0.5 + 1e-6).all()


@pytest.mark.parametrize("cls", [AdversarialTrainingClassifier, ExplanationATClassifier, IGNormClassifier])
def test_rows_outside_the_box_are_refused(cls, data):
    with pytest.raises(ValueError, match="outside the bounds of the threat model"):
        small(cls, threat=ThreatModel(0.1, bounds=(0, 1e-3)), **OPTIONS[cls]).fit(*data)

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.attacks import (
    AutoExplanationAttack,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    MultiObjectiveAttack,
    NESAttack,
    RandomAttack,
    TargetedManipulation,
)
from robustxai.attacks._together import run_together
from robustxai.perturbation import ThreatModel

THREAT = ThreatModel(1.0, bounds=(0.0, 1.0))


@pytest.fixture(scope="module")
def victims():
    """Classifiers of several sharpnesses, each with rows of its own, from one to more than a chunk."""
    X, y = load_breast_cancer(return_X_y=True)
    X = MinMaxScaler().fit_transform(X)
    options = {"max_epochs": 4, "module__hidden": (8, 4)}
    stable = [R2ETClassifier(lambda_gap=gap, random_state=0, **options).fit(X, y) for gap in (0.01, 0.1)]
    plain = [SoftplusClassifier(beta=beta, random_state=1, **options).fit(X, y) for beta in (1.0, 3.0)]
    sizes = [40, 1, 25, 60]
    return [(clf, X[10 * i : 10 * i + size]) for i, (clf, size) in enumerate(zip([*stable, *plain], sizes))]


@pytest.mark.parametrize(
    "attack",
    [
        ERAttack(k=8, threat=THREAT, max_iter=8),
        ERAttack(k=2, threat=ThreatModel(3.0), max_iter=16, batch_size=32),  # many rows are finished on the way
        BoundaryMarginAttack(k=4, threat=THREAT, max_iter=8, random_start=True),
        MSEAttack(k=8, threat=THREAT, max_iter=8, keep="last"),
        MultiObjectiveAttack(k=8, threat=THREAT, max_iter=8),
        TargetedManipulation(k=8, threat=THREAT, max_iter=8, target_units=[3, 5]),
        NESAttack(k=8, threat=THREAT, max_iter=5, n_draws=6),
        RandomAttack(k=8, threat=THREAT, max_iter=8, random_state=4),
    ],
    ids=lambda attack: type(attack).__name__,
)
@pytest.mark.filterwarnings("ignore:.*the ball is huge beside the data")
def test_a_victim_is_attacked_as_it_is_alone(attack, victims):
    for (clf, X), found in zip(victims, run_together(attack, victims)):
        alone = attack.set_params(estimator=clf).run(X)
        # a tie in P@k is decided by rounding, after which the walks may part; not so here
        np.testing.assert_allclose(found.X_adv, alone.X_adv, atol=2e-4)
        np.testing.assert_allclose(found.precision_at_k, alone.precision_at_k)
        np.testing.assert_array_equal(found.first_flip, alone.first_flip)
        np.testing.assert_allclose(found.attribution, alone.attribution, atol=1e-6)
        assert found.n_iter == alone.n_iter
        assert (found.targets_in_top_k is None) == (alone.targets_in_top_k is None)


def test_frozen_features_have_names(victims):
    names = [f"f{i}" for i in range(30)]
    frames = [(clf, pd.DataFrame(X, columns=names)) for clf, X in victims]
    attack = ERAttack(k=8, threat=ThreatModel(0.5, frozen=["f3", "f7"]), max_iter=5)
    for (_, X), found in zip(frames, run_together(attack, frames)):
        moved = np.asarray(found.X_adv) - X.to_numpy()
        assert np.abs(moved[:, [3, 7]]).max() == 0
        assert np.abs(moved).max() > 0


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (AutoExplanationAttack(k=8), "AutoExplanationAttack"),
        (ERAttack(k=8, random_state=None), "random_state"),
        (ERAttack(k=8, random_state=np.random.RandomState(0)), "random_state"),
    ],
)
def test_attacks_that_run_alone(attack, why, victims):
    with pytest.raises(NotImplementedError, match=why):
        run_together(attack, victims)


def test_victims_that_are_attacked_alone(victims):
    clf, X = victims[0]
    y = np.arange(len(X)) % 2
    others = {
        "LogisticRegression": LogisticRegression().fit(X, y),
        "ReLU": VanillaClassifier(max_epochs=1).fit(X, y),
        "one shape": SoftplusClassifier(max_epochs=1, module__hidden=(3,)).fit(X, y),
        "explainer": SoftplusClassifier(max_epochs=1, module__hidden=(8, 4), explainer="logit_gradient").fit(X, y),
    }
    for why, other in others.items():
        with pytest.raises(NotImplementedError, match=why):
            run_together(ERAttack(k=8), [(clf, X), (other, X)])

"""The ensemble: never above any of its members, honest about itself, and between random and proof."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from robustxai import LinearClassifier, SoftplusClassifier, VanillaClassifier
from robustxai.attacks import (
    AutoExplanationAttack,
    BlackBox,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    MultiObjectiveAttack,
    NESAttack,
    PromotionAttack,
    RandomAttack,
    SoftOverlapAttack,
    TopKManipulation,
)
from robustxai.certificates import certified_radius
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel

SINGLE = (
    RandomAttack,
    BoundaryMarginAttack,
    SoftOverlapAttack,
    ERAttack,
    MSEAttack,
    TopKManipulation,
    MultiObjectiveAttack,
)


@pytest.fixture(scope="module")
def table():
    X, y = load_breast_cancer(return_X_y=True)
    return MinMaxScaler().fit_transform(X).astype(np.float32), y


@pytest.fixture(scope="module", params=[SoftplusClassifier, VanillaClassifier], ids=lambda c: c.__name__)
def victim(request, table):
    return request.param(max_epochs=10).fit(*table)


@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
@pytest.mark.parametrize("norm", [2, "inf"])
def test_standard_is_never_above_any_single_attack_on_any_row(victim, table, norm):
    X = table[0][:40]
    threat = ThreatModel(0.3 if norm == 2 else 0.05, norm=norm, bounds=(0, 1))
    result = AutoExplanationAttack(victim, threat=threat).run(X)
    for attack in SINGLE:
        single = attack(victim, threat=threat).run(X)
        assert (result.precision_at_k <= single.precision_at_k).all(), attack.__name__
    # and what it says is true of the inputs that it returns
    assert (result.X_adv >= 0).all()
    assert (result.X_adv <= 1).all()
    length = np.linalg.norm(result.X_adv - X, ord=2 if norm == 2 else np.inf, axis=1)
    assert (length <= threat.epsilon * (1 + 1e-5)).all()
    assert (victim.predict(result.X_adv) == victim.predict(X)).all()
    again = [set(np.argsort(-np.abs(row))[:8]) for row in victim.explain(result.X_adv)]
    clean = [set(np.argsort(-np.abs(row))[:8]) for row in victim.explain(X)]
    np.testing.assert_allclose(result.precision_at_k, [len(a & b) / 8 for a, b in zip(again, clean)])


@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_presets_are_ordered_and_rows_do_not_know_each_other(victim, table):
    X, threat = table[0][:25], ThreatModel(0.2)
    by = {p: AutoExplanationAttack(victim, threat=threat, preset=p).run(X).precision_at_k for p in ("fast", "standard")}
    assert by["standard"].mean() <= by["fast"].mean()
    one = AutoExplanationAttack(victim, threat=threat, preset="fast")
    np.testing.assert_array_equal([one.run(row[None]).precision_at_k[0] for row in X[:6]], by["fast"][:6])


@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_the_minimum_radius_lies_between_the_proof_and_what_was_asked_for(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=10, optimizer__weight_decay=1e-3).fit(X, y)
    attack = AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(1.0))
    radius = attack.minimum_radius(X[:20])
    proven = certified_radius(clf, X[:20], max_epsilon=1.0)
    assert (proven <= radius).all()
    found = np.isfinite(radius)
    assert 3 <= found.sum() < 20
    assert (radius[found] <= 1.0 + 1e-6).all()
    for row, r in zip(X[:20][found][:5], radius[found]):
        assert attack.set_params(threat=ThreatModel(1.05 * float(r))).minimum_radius(row[None])[0] <= 1.06 * r
    assert np.isinf(AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(1e-7)).minimum_radius(X[:3])).all()


def test_data_frames_come_back_as_data_frames(table):
    frame = pd.DataFrame(table[0], columns=[f"f{i}" for i in range(30)])
    clf = SoftplusClassifier(max_epochs=5).fit(frame, table[1])
    attack = AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(0.1, frozen=["f0"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        result = attack.run(frame[:10])
        moved = attack.fit(frame[:10]).transform(frame[:10])
    assert list(result.X_adv.columns) == list(frame.columns)
    np.testing.assert_array_equal(result.X_adv["f0"], frame["f0"][:10])
    np.testing.assert_array_equal(moved, result.X_adv)


def test_clone_keeps_the_victim(victim):
    attack = AutoExplanationAttack(victim, k=3, preset="fast")
    assert clone(attack).estimator is victim
    assert clone(attack).get_params()["k"] == 3


# ------------------------------------------------------------------------------------------------ warnings


def test_a_linear_model_is_no_achievement(table):
    clf = LinearClassifier(max_epochs=3).fit(*table)
    with pytest.warns(EvaluationWarning, match="same attribution up to its length"):
        assert (AutoExplanationAttack(clf, preset="fast").run(table[0][:20]).precision_at_k == 1).all()


class Step(nn.Module):
    """Gradients that jump where the first feature crosses zero, and are constant elsewhere."""

    def forward(self, x):
        side = (x[:, :1] > 0).float()
        score = side * x @ torch.tensor([[3.0], [2.0], [1.0]]) + (1 - side) * x @ torch.tensor([[1.0], [2.0], [3.0]])
        return torch.cat([-score - 50, score + 50], dim=1)


class Jumping(SoftplusClassifier):
    """A classifier whose network is a Step."""

    @property
    def module_(self):
        return Step()


def test_a_masked_gradient_is_told():
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    clf = Jumping(max_epochs=1).fit(X, X[:, 0] > 0)
    attack = AutoExplanationAttack(clf, k=1, preset="fast", threat=ThreatModel(0.5))
    with pytest.warns(EvaluationWarning, match="random directions find more"):
        attack.run(X)


def test_a_prediction_that_limits_the_attack_is_told(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=30).fit(X, y)
    margin = np.abs(clf.predict_proba(X)[:, 1] - 0.5)
    close = X[np.argsort(margin)[:30]]
    with pytest.warns(EvaluationWarning, match="many iterates change the prediction"):
        AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(3.0)).run(close)


# ------------------------------------------------------------------------------------------------ black boxes


@pytest.fixture(scope="module")
def trees():
    X, y = load_iris(return_X_y=True, as_frame=True)
    X = X.iloc[:, ::-1]
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y)

    def occlusion(points):
        base = model.predict_proba(points).max(axis=1)
        lost = []
        for name in X.columns:
            hidden = points.copy()
            hidden[name] = X[name].mean()
            lost.append(base - model.predict_proba(hidden).max(axis=1))
        return np.stack(lost, axis=1)

    return BlackBox(model, occlusion), X


def test_trees_with_any_explanation_can_be_attacked(trees):
    box, X = trees
    rows = X.iloc[40:70]
    result = AutoExplanationAttack(box, k=2, preset="fast", threat=ThreatModel(1.0)).run(rows)
    floor = RandomAttack(box, k=2, threat=ThreatModel(1.0), max_iter=50).run(rows)
    assert (result.precision_at_k <= floor.precision_at_k).all()
    assert result.precision_at_k.mean() < 1
    assert (box.predict(result.X_adv) == box.predict(rows)).all()


def test_without_gradients_nes_finds_what_gradients_find(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=10).fit(X, y)
    threat = ThreatModel(0.3)
    random, nes, gradient = (
        attack.run(X[:40]).precision_at_k.mean()
        for attack in (
            RandomAttack(clf, threat=threat, max_iter=40),
            NESAttack(clf, threat=threat, max_iter=40, n_queries=20),
            BoundaryMarginAttack(clf, threat=threat, max_iter=40),
        )
    )
    assert nes < random
    assert gradient <= nes


def test_promotion_brings_its_outsider_in(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=10).fit(X, y)
    result = PromotionAttack(clf, rank=2, threat=ThreatModel(0.5), max_iter=40).run(X[:40])
    clean, after = (np.argsort(-np.abs(e), axis=1) for e in (clf.explain(X[:40]), clf.explain(result.X_adv)))
    entered = [clean[row, 9] in after[row, :8] for row in range(40)]
    others = [clean[row, 15] in after[row, :8] for row in range(40)]
    assert np.mean(entered) > np.mean(others)


def test_a_random_start_is_another_walk(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=5).fit(StandardScaler().fit_transform(X), y)
    rows = StandardScaler().fit_transform(X)[:10]
    runs = [
        BoundaryMarginAttack(clf, random_start=True, max_iter=5, random_state=seed).run(rows).X_adv
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda box: AutoExplanationAttack(box, preset="standart"), ValueError, "standard"),
        (lambda box: AutoExplanationAttack(box, k=0), ValueError, "k"),
        (lambda box: AutoExplanationAttack(box, max_iter=3), TypeError, "max_iter"),
        (lambda box: AutoExplanationAttack(), ValueError, "no estimator to attack"),
        (lambda box: NESAttack(box, n_queries=1), ValueError, "n_queries"),
        (lambda box: NESAttack(box, smoothing=0), ValueError, "smoothing"),
        (lambda box: PromotionAttack(box, rank=0), ValueError, "rank"),
        (lambda box: AutoExplanationAttack(BlackBox(box.estimator)), TypeError, "BlackBox needs a fitted classifier"),
        (
            lambda box: AutoExplanationAttack(BlackBox(box.estimator, lambda X: np.asarray(X)[:, :1]), k=1),
            ValueError,
            "has shape",
        ),
    ],
)
def test_bad_input(trees, make, error, match):
    box, X = trees
    with pytest.raises(error, match=match):
        make(box).run(X.iloc[:5])

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
    AttackResult,
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
from robustxai.benchmark._cell import Cell, prepare_rows
from robustxai.certificates import certified_radius
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel

from .conftest import SHORTER, Victim

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


@pytest.fixture(scope="module")
def smooth(table):
    return SoftplusClassifier(max_epochs=10).fit(*table)


@pytest.fixture(scope="module")
def with_relus(table):
    return VanillaClassifier(max_epochs=10).fit(*table)


@pytest.fixture(params=["smooth", "with_relus"])
def victim(request):
    return request.getfixturevalue(request.param)


@pytest.mark.usefixtures("short_ensemble")
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
@pytest.mark.parametrize(("kind", "norm"), [("smooth", 2), ("with_relus", "inf")])
def test_standard_is_never_above_any_single_attack_on_any_row(table, kind, norm, request):
    X, victim = table[0][:20], request.getfixturevalue(kind)
    threat = ThreatModel(0.3 if norm == 2 else 0.05, norm=norm, bounds=(0, 1))
    result = AutoExplanationAttack(victim, threat=threat).run(X)
    for attack in SINGLE:
        single = attack(victim, threat=threat, max_iter=attack().max_iter // SHORTER).run(X)
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


@pytest.mark.usefixtures("short_ensemble")
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_presets_are_ordered_and_rows_do_not_know_each_other(victim, table):
    X, threat = table[0][:15], ThreatModel(0.2)
    by = {p: AutoExplanationAttack(victim, threat=threat, preset=p).run(X).precision_at_k for p in ("fast", "standard")}
    assert by["standard"].mean() <= by["fast"].mean()
    one = AutoExplanationAttack(victim, threat=threat, preset="fast")
    np.testing.assert_array_equal([one.run(row[None]).precision_at_k[0] for row in X[:4]], by["fast"][:4])


@pytest.mark.usefixtures("short_ensemble")
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
def test_the_minimum_radius_lies_between_the_proof_and_what_was_asked_for(table):
    X, y = table
    clf = SoftplusClassifier(max_epochs=10, optimizer__weight_decay=1e-3).fit(X, y)
    attack = AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(1.0))
    radius = attack.minimum_radius(X[:12], n_levels=3)
    proven = certified_radius(clf, X[:12], max_epsilon=1.0)
    assert (proven <= radius).all()
    found = np.isfinite(radius)
    assert 3 <= found.sum() < 12
    assert (radius[found] <= 1.0 + 1e-6).all()
    for row, r in zip(X[:12][found][:2], radius[found]):
        nearby = attack.set_params(threat=ThreatModel(1.05 * float(r)))
        assert nearby.minimum_radius(row[None], n_levels=2)[0] <= 1.06 * r
    tiny = AutoExplanationAttack(clf, preset="fast", threat=ThreatModel(1e-7))
    assert np.isinf(tiny.minimum_radius(X[:3], n_levels=2)).all()


@pytest.mark.usefixtures("short_ensemble")
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


@pytest.mark.filterwarnings("ignore:.*the ball is huge beside the data")
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


@pytest.mark.usefixtures("short_ensemble")
@pytest.mark.filterwarnings("ignore:.*explanation of zeros")  # of rows that no feature moves to another leaf
def test_trees_with_any_explanation_can_be_attacked(trees):
    box, X = trees
    rows = X.iloc[45:60]
    result = AutoExplanationAttack(box, k=2, preset="fast", threat=ThreatModel(1.0)).run(rows)
    floor = RandomAttack(box, k=2, threat=ThreatModel(1.0), max_iter=50 // SHORTER).run(rows)
    assert (result.precision_at_k <= floor.precision_at_k).all()
    assert result.precision_at_k.mean() < 1
    assert (box.predict(result.X_adv) == box.predict(rows)).all()


def test_without_gradients_nes_finds_what_gradients_find(table, smooth):
    X, clf = table[0], smooth
    threat = ThreatModel(0.3)
    random, nes, gradient = (
        attack.run(X[:40]).precision_at_k.mean()
        for attack in (
            RandomAttack(clf, threat=threat, max_iter=20),
            NESAttack(clf, threat=threat, max_iter=20, n_draws=20),
            BoundaryMarginAttack(clf, threat=threat, max_iter=20),
        )
    )
    assert nes < random
    assert gradient <= nes


def test_promotion_brings_its_outsider_in(table, smooth):
    X, clf = table[0], smooth
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
        (lambda box: NESAttack(box, n_draws=1), ValueError, "n_draws"),
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


# ------------------------------------------------------------------------------------------------ radii


@pytest.mark.usefixtures("short_ensemble")
def test_the_curve_falls_row_by_row_and_counts_what_single_runs_find(smooth, table):
    X, radii = table[0][:30], [0.3, 0.05, 0.6, 0.05]
    attack = AutoExplanationAttack(smooth, preset="fast", threat=ThreatModel(9.0, bounds=(0, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        curve = attack.curve(X, radii)
        single = [
            AutoExplanationAttack(smooth, preset="fast", threat=ThreatModel(r, bounds=(0, 1))).run(X).precision_at_k
            for r in radii
        ]
    assert curve.shape == (30, 4)
    np.testing.assert_array_equal(curve[:, 1], curve[:, 3])
    np.testing.assert_array_equal(curve[:, 1], single[1])
    np.testing.assert_array_equal(curve[:, 0], np.minimum(single[1], single[0]))
    np.testing.assert_array_equal(curve[:, 2], np.minimum(curve[:, 0], single[2]))
    assert curve[:, 2].mean() < curve[:, 0].mean() < curve[:, 1].mean()


@pytest.fixture
def by_radius(monkeypatch):
    """Puts figures of the ensemble's own in the place of attacks: P@k by radius, the same in every row."""

    def install(values, doubt=None):
        def ensemble(self, X, threat):
            found = np.full(len(X), values[threat.epsilon])
            return AttackResult(X, X, X, found, found, 1), [doubt] if doubt else []

        monkeypatch.setattr(AutoExplanationAttack, "_ensemble", ensemble)

    return install


def test_a_figure_that_rises_with_the_radius_is_told_and_not_returned(by_radius, smooth, table):
    by_radius({0.1: 0.9, 0.2: 0.7, 0.5: 0.75, 1.0: 0.6, 2.0: 0.625})
    with pytest.warns(EvaluationWarning, match="mean P@k rises with epsilon") as caught:
        curve = AutoExplanationAttack(smooth).curve(table[0][:4], [2.0, 1.0, 0.5, 0.2, 0.1])
    np.testing.assert_array_equal(curve, [[0.6, 0.6, 0.7, 0.7, 0.9]] * 4)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert "0.750 at 0.5 after 0.700 at 0.2" in said
    assert "0.625 at 2 after 0.600 at 1" in said
    assert said.count(" after ") == 2
    assert "preset='strong'" in said


def test_a_figure_that_falls_or_trembles_is_none(by_radius, smooth, table):
    by_radius({0.0: 1.0, 0.1: 0.9, 0.2: 0.905, 0.3: 0.9})
    curve = AutoExplanationAttack(smooth).curve(table[0][:4], [0.0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(curve, [[1.0, 0.9, 0.9, 0.9]] * 4)


def test_what_the_curve_doubts_is_said_once_with_its_radii(by_radius, smooth, table):
    by_radius({0.1: 0.9, 0.25: 0.8}, doubt="too good to be true.")
    with pytest.warns(EvaluationWarning, match=r"\(epsilon 0.1, 0.25\) too good to be true") as caught:
        AutoExplanationAttack(smooth).curve(table[0][:4], [0.25, 0.1])
    assert len(caught) == 1


class Ripple(nn.Module):
    """Linear but for a ripple around the origin: all there is to find lies inside."""

    def forward(self, x):
        slope = torch.linspace(1, 2, x.shape[1])
        score = 100 + (x * slope + 0.2 * torch.sin(6 * x) * torch.exp(-(x**2))).sum(dim=1)
        return torch.stack([-score, score], dim=1)


def test_an_attack_that_steps_over_what_there_is_finds_less_in_a_larger_ball():
    X = np.random.default_rng(0).normal(scale=0.3, size=(20, 6)).astype(np.float32)
    attack = AutoExplanationAttack(Victim(Ripple()), k=3, preset="fast")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curve = attack.curve(X, [0.5, 20.0])
    assert ["0.5" in str(w.message) for w in caught if "rises with epsilon" in str(w.message)] == [True]
    np.testing.assert_array_equal(curve[:, 0], curve[:, 1])
    assert curve.mean() < 0.9


@pytest.mark.parametrize(
    ("epsilons", "error"),
    [([], ValueError), (0.5, ValueError), ([[0.5]], ValueError), ([0.5, -1], ValueError), ([np.nan], ValueError)],
)
def test_a_list_of_radii_is_needed(smooth, table, epsilons, error):
    with pytest.raises(error, match="epsilons"):
        AutoExplanationAttack(smooth).curve(table[0][:2], epsilons)


# ------------------------------------------------------------------------------------------------ strength


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")
@pytest.mark.parametrize(("defense", "margin"), [("softplus", 0.02), ("vanilla", 0.20)])
@pytest.mark.parametrize("epsilon", [0.25, 0.5])
def test_the_ensemble_beats_the_attack_of_the_papers_by_a_margin(defense, margin, epsilon):
    """Adult; the papers' attack is the summed gap in equal steps to the edge of the ball, last iterate."""
    cell = Cell("adult", defense, 0, ())
    X_train, X_test, y_train, _ = prepare_rows(cell)
    clf, X = cell.estimator().fit(X_train, y_train), X_test[:300]
    options = {"k": 8, "threat": ThreatModel(epsilon, bounds=(0, 1))}
    paper = ERAttack(clf, max_iter=200, step_size=epsilon / 200, momentum=0.0, keep="last", **options).run(X)
    standard = AutoExplanationAttack(clf, **options).run(X).precision_at_k.mean()
    assert standard <= paper.precision_at_k.mean() - margin
    if defense == "vanilla":  # and so do 200 random points
        random = RandomAttack(clf, max_iter=200, **options).run(X)
        assert random.precision_at_k.mean() < paper.precision_at_k.mean()
        assert standard < random.precision_at_k.mean()

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustxai.attacks import (
    AttackResult,
    AutoExplanationAttack,
    ERAttack,
    MSEAttack,
    RandomAttack,
    TargetedManipulation,
    strongest,
)
from robustxai.attacks._result import warn_of_rise
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel


@pytest.fixture
def results(victim, X):
    return [attack(victim, k=3, max_iter=8).run(X) for attack in (RandomAttack, MSEAttack, ERAttack)]


def test_every_row_is_that_of_its_strongest_attack(results, X):
    worst = strongest(results)
    picked = set()
    for row in range(len(X)):
        best = min(results, key=lambda r, row=row: r.precision_at_k[row])  # the first of equals
        picked.add(id(best))
        assert worst.precision_at_k[row] == best.precision_at_k[row]
        np.testing.assert_array_equal(worst.X_adv[row], best.X_adv[row])
        np.testing.assert_array_equal(worst.attribution_adv[row], best.attribution_adv[row])
        np.testing.assert_array_equal(worst.attribution[row], best.attribution[row])
        assert worst.first_flip[row] == min(r.first_flip[row] for r in results)
    assert len(picked) > 1
    assert worst.n_iter == 8


def test_one_result_is_its_own_strongest(results):
    for name in ("X_adv", "precision_at_k", "first_flip"):
        np.testing.assert_array_equal(getattr(strongest(results[:1]), name), getattr(results[0], name))


def test_frames_stay_frames(victim, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"), index=np.arange(len(X)) + 100)
    worst = strongest([attack(victim, k=3, max_iter=3).run(frame) for attack in (ERAttack, RandomAttack)])
    for part in (worst.X_adv, worst.attribution, worst.attribution_adv):
        assert part.index.equals(frame.index)
        assert part.columns.equals(frame.columns)


def test_a_short_attack_without_a_flip_does_not_count_as_a_flip(results):
    """Censored at n_iter + 1 of its own budget, which is an iteration of the longer attack."""
    n = len(results[0].first_flip)
    short = replace(results[0], n_iter=3, first_flip=np.full(n, 4))
    long = replace(results[1], n_iter=9, first_flip=np.where(np.arange(n) % 2, 7, 10))
    np.testing.assert_array_equal(strongest([short, long]).first_flip, long.first_flip)
    assert strongest([short, long]).n_iter == 9


def test_targets_are_told_by_a_targeted_attack_only(victim, X):
    targeted, plain = (attack(victim, k=3, max_iter=3).run(X) for attack in (TargetedManipulation, ERAttack))
    assert targeted.targets_in_top_k.shape == (len(X),)
    assert plain.targets_in_top_k is None
    assert strongest([targeted, plain]).targets_in_top_k is None


def test_nothing_has_no_strongest():
    with pytest.raises(ValueError, match="at least one attack result"):
        strongest([])


def test_only_a_rise_of_more_than_a_hundredth_is_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_rise({0.1: 0.8, 0.2: 0.809, 0.3: 0.4}, "cure")
        warn_of_rise({0.1: 0.8}, "cure")
    with pytest.warns(EvaluationWarning, match=r"0\.500 at 2 after 0\.400 at 0\.3\).*cure"):
        warn_of_rise({2.0: 0.5, 0.1: 0.8, 0.3: 0.4, 3.0: 0.3}, "cure")


@pytest.fixture(params=[2, "inf"], ids=str)
def found(request, victim, X):
    """A result on a frame, with a unit per feature and a frozen one."""
    frame = pd.DataFrame(X, columns=list("abcdefgh"), index=[f"row {i}" for i in range(len(X))])
    threat = ThreatModel(0.6, norm=request.param, scale={"b": 0.5}, frozen=["a"])
    return ERAttack(victim, k=3, max_iter=20, threat=threat).run(frame), frame, request.param


def test_the_frame_row_by_row(found, victim):
    result, X, norm = found
    frame = result.to_frame()
    assert frame.index.equals(X.index)
    assert (result.precision_at_k < 1).mean() > 0
    scale = np.array([1, 0.5, 1, 1, 1, 1, 1, 1])
    probabilities = victim.predict_proba(X), victim.predict_proba(result.X_adv)
    for i, (label, row) in enumerate(frame.iterrows()):
        top, other = (
            {X.columns[j] for j in np.argsort(-np.abs(part.loc[label].to_numpy()), kind="stable")[:3]}
            for part in (result.attribution, result.attribution_adv)
        )
        assert set(row["left"]) == top - other
        assert set(row["entered"]) == other - top
        assert row["precision_at_k"] == pytest.approx(1 - len(row["left"]) / 3)
        step = (result.X_adv.loc[label] - X.loc[label]).to_numpy() / scale
        assert row["distance"] == pytest.approx(np.linalg.norm(step, ord=2 if norm == 2 else np.inf))
        assert row["distance"] <= 0.6 * (1 + 1e-5)
        if result.first_flip[i] > result.n_iter:
            assert row["first_flip"] is pd.NA
        else:
            assert row["first_flip"] == result.first_flip[i]
        place = list(victim.classes_).index(row["predicted"])
        assert row["probability"] == probabilities[0][i, place] == probabilities[0][i].max()
        assert row["probability_adv"] == probabilities[1][i, place]


def test_names_of_units(victim, X):
    result = ERAttack(victim, k=3, max_iter=20).run(X)
    plain, named = result.to_frame(), result.to_frame(feature_names=[f"feature {i}" for i in range(8)])
    assert plain.index.equals(pd.RangeIndex(len(X)))
    for before, after in zip([*plain["left"], *plain["entered"]], [*named["left"], *named["entered"]]):
        assert tuple(name.replace("x", "feature ") for name in before) == after
    with pytest.raises(ValueError, match="8 ranked units, but 2 feature_names"):
        result.to_frame(feature_names=["a", "b"])


def test_units_of_images_are_called_by_their_place():
    r = np.random.default_rng(0)
    before, after = r.normal(size=(2, 4, 3, 2, 5))
    precision = np.ones(4)
    result = AttackResult(
        before, before, after, precision, precision.astype(int), 3, k=2, ranking="magnitude", X=before
    )
    names = {f"({i}, {j})" for i in range(2) for j in range(5)}
    for row in [*result.to_frame()["left"], *result.to_frame()["entered"]]:
        assert set(row) <= names
    assert "P@2" in repr(result)


def test_words(found):
    result, X, _ = found
    words = result.summary()
    assert f"P@3: mean {result.precision_at_k.mean():.3f}" in words
    assert f"{int((result.precision_at_k == 1).sum())} of {len(X)} keep their top 3" in words
    assert f"mean {result.probability.mean():.3f} before, {result.probability_adv.mean():.3f} after" in words
    assert "radius 0.6 in units of `scale`" in words
    assert len(repr(result)) < 100
    assert "\n" not in repr(result)
    assert f"{len(X)} rows, mean P@3 {result.precision_at_k.mean():.3f}" in repr(result)
    assert "No row" in result.of_rows(slice(0)).summary()


def test_parts_keep_what_is_of_all_rows(found):
    result = found[0]
    part = result.of_rows(np.array([5, 2]))
    pd.testing.assert_frame_equal(part.to_frame(), result.to_frame().iloc[[5, 2]])


def test_the_strongest_tells_as_much(victim, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    results = [attack(victim, k=3, max_iter=8).run(frame) for attack in (RandomAttack, MSEAttack, ERAttack)]
    for worst in (strongest(results), AutoExplanationAttack(victim, k=3, preset="fast").run(frame)):
        table = worst.to_frame()
        np.testing.assert_allclose(table["precision_at_k"], 1 - table["left"].map(len) / 3)
        np.testing.assert_allclose(table["distance"], np.linalg.norm(worst.X_adv - frame, axis=1))
        place = victim.predict_proba(frame).argmax(axis=1)
        np.testing.assert_allclose(
            table["probability_adv"], victim.predict_proba(worst.X_adv)[np.arange(len(X)), place], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: replace(r, k=4), "k=3 and k=4"),
        (lambda r: replace(r, ranking="signed"), "ranking='magnitude' and ranking='signed'"),
        (lambda r: replace(r, X=r.X[::-1]), "different rows"),
        (lambda r: replace(r, attribution=r.attribution[::-1]), "different rows"),
        (lambda r: r.of_rows(slice(0, 3)), "different rows"),
    ],
)
def test_results_about_something_else_are_refused(results, change, message):
    with pytest.raises(ValueError, match=message):
        strongest([results[0], change(results[1])])


def test_attacks_that_were_allowed_different_things_have_no_common_threat(victim, X):
    near, far, again = (RandomAttack(victim, k=3, threat=ThreatModel(e), max_iter=3).run(X) for e in (0.1, 0.5, 0.1))
    assert strongest([near, far]).threat is None
    assert strongest([near, again]).threat.epsilon == 0.1

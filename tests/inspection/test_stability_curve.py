import warnings

import numpy as np
import pytest

from robustxai import SoftplusClassifier
from robustxai.attacks import AutoExplanationAttack, BoundaryMarginAttack, RandomAttack
from robustxai.exceptions import EvaluationWarning
from robustxai.inspection import StabilityCurveDisplay
from robustxai.metrics import roc_auc
from robustxai.perturbation import ThreatModel

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")

EPSILONS = (0.1, 0.8, 0.3)
NORM = "inf"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=120) > 0).astype(int)


@pytest.fixture(scope="module")
def models(data):
    return [SoftplusClassifier(max_epochs=5, random_state=seed).fit(*data) for seed in range(3)]


def lines_of(display, linestyle="-"):
    return [
        line.get_xydata() for line in display.ax_.lines if line.get_linestyle() == linestyle and len(line.get_xdata())
    ]


def labels_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_lines_are_the_means_of_the_attack_at_every_radius(data, models):
    X, y = data
    attack = BoundaryMarginAttack(k=2, threat=ThreatModel(9.0, norm=NORM), max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        display = StabilityCurveDisplay.from_estimators(
            {"one": models[0], "two": models[1]}, X, y, epsilons=EPSILONS, attack=attack, n_rows=30
        )
    radii = sorted(EPSILONS)
    for model, line, floor in zip(models, lines_of(display), lines_of(display, ":")):
        for kind, drawn in ((BoundaryMarginAttack, line), (RandomAttack, floor)):
            lowest, means = np.ones(30), []
            for radius in radii:
                threat = ThreatModel(radius, norm=NORM)
                lowest = np.minimum(lowest, kind(model, k=2, threat=threat, max_iter=5).run(X[:30]).precision_at_k)
                means.append(lowest.mean())
            np.testing.assert_allclose(drawn, np.column_stack([radii, means]))
        assert line[-1, 1] < floor[-1, 1] < 1
    accuracies = [f"{model.score(X, y):.2f}".lstrip("0") for model in models]
    assert labels_of(display) == [
        f"one (accuracy {accuracies[0]})",
        f"two (accuracy {accuracies[1]})",
        "random directions",
    ]
    assert display.ax_.get_xlabel() == "epsilon (l-infinity)"
    assert display.ax_.get_ylabel() == "P@2 under attack"
    np.testing.assert_allclose(display.ax_.get_xticks(), radii)


def test_an_ensemble_goes_by_its_own_curve_and_seeds_make_a_band(data, models, monkeypatch):
    X, y = data
    rng = np.random.default_rng(1)
    curves = iter(rng.uniform(0.3, 0.7, size=(3, 10, 3)))
    seen = []

    def curve(self, X, epsilons):
        self.fit(X)
        seen.append((len(X), tuple(epsilons)))
        return next(curves)

    monkeypatch.setattr(AutoExplanationAttack, "curve", curve)
    display = StabilityCurveDisplay.from_estimators(
        {"seeds": models}, X, y, epsilons=EPSILONS, n_rows=10, random=False, score="roc_auc", k=3
    )
    means = np.random.default_rng(1).uniform(0.3, 0.7, size=(3, 10, 3)).mean(axis=1)
    points = display.points.loc["seeds"]
    np.testing.assert_allclose(points["attacked"], means.mean(axis=0))
    np.testing.assert_allclose(points["attacked_sd"], means.std(axis=0, ddof=1))
    (band,) = display.ax_.collections
    corners = band.get_paths()[0].vertices
    for radius, point in points.iterrows():
        heights = corners[np.isclose(corners[:, 0], radius), 1]
        ends = point["attacked"] + np.array([-1, 1]) * point["attacked_sd"]
        np.testing.assert_allclose([heights.min(), heights.max()], ends)
    auc = np.mean([roc_auc(model, X, y) for model in models])
    assert labels_of(display) == [f"seeds (AUC {auc:.2f})".replace("0.", ".")]
    assert seen == [(10, EPSILONS)] * 3
    assert display.k == 3


def test_curves_that_are_there_already():
    curves = {"A": [0.9, 0.5, 0.7], "B": [np.full((4, 3), 0.25), np.full((4, 3), 0.75)], "C": np.full((5, 3), 1.0)}
    display = StabilityCurveDisplay.from_curves(
        curves, EPSILONS, k=8, scores={"A": 1.0, "B": 0.875}, random={"A": [1, 1, 1]}, certified={"B": [0.1, 0.0, 0.05]}
    )
    first, second, third = lines_of(display)
    np.testing.assert_allclose(first, [[0.1, 0.9], [0.3, 0.7], [0.8, 0.5]])
    np.testing.assert_allclose(second[:, 1], 0.5)
    np.testing.assert_allclose(third[:, 1], 1.0)
    (certified,) = lines_of(display, "--")
    np.testing.assert_allclose(certified, [[0.1, 0.1], [0.3, 0.05], [0.8, 0.0]])
    np.testing.assert_allclose([line[:, 1] for line in lines_of(display, ":")], [[1, 1, 1]])
    assert labels_of(display) == ["A (accuracy 1.00)", "B (accuracy .88)", "C", "random directions", "certified"]
    assert display.ax_.get_xscale() == "linear"
    assert len(display.ax_.collections) == 1, "a band for the model with seeds alone"


def test_radii_that_double_have_a_logarithmic_axis():
    display = StabilityCurveDisplay.from_curves({"A": [1.0, 0.9, 0.7, 0.2]}, [0.1, 0.2, 0.4, 0.8], k=8)
    assert display.ax_.get_xscale() == "log"
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["0.1", "0.2", "0.4", "0.8"]


def test_radii_with_a_zero_have_a_linear_axis(plt):
    figure, ax = plt.subplots()
    display = StabilityCurveDisplay.from_curves({"A": [1.0, 0.9, 0.2]}, [0.0, 0.1, 2.0], k=8, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_xscale() == "linear"


def test_what_does_not_fit_is_refused(data, models):
    with pytest.raises(ValueError, match=r"'A' must have shape \(3,\) or \(n_samples, 3\), got \(2,\)"):
        StabilityCurveDisplay.from_curves({"A": [1.0, 0.5]}, EPSILONS, k=8)
    with pytest.raises(ValueError, match=r"certified names 'B'.*\['A'\]"):
        StabilityCurveDisplay.from_curves({"A": [1.0, 0.5, 0.2]}, EPSILONS, k=8, certified={"B": [0, 0, 0]})
    with pytest.raises(ValueError, match="each once"):
        StabilityCurveDisplay.from_estimators({"A": models[0]}, data[0], epsilons=[0.1, 0.1])
    with pytest.raises(ValueError, match="'acuracy' is not known"):
        StabilityCurveDisplay.from_estimators({"A": models[0]}, data[0], epsilons=[0.1], score="acuracy")
    with pytest.raises(ValueError, match="no classifier in the list of 'A'"):
        StabilityCurveDisplay.from_estimators({"A": []}, data[0], epsilons=[0.1])


def test_an_attack_that_finds_less_in_a_larger_ball_is_told(data, models, monkeypatch):
    original = BoundaryMarginAttack.run

    def weak(self, X, y=None):
        result = original(self, X)
        result.precision_at_k[:] = 0.4 if self.threat.epsilon < 0.2 else 0.8
        return result

    monkeypatch.setattr(BoundaryMarginAttack, "run", weak)
    attack = BoundaryMarginAttack(k=2, max_iter=1)
    with pytest.warns(EvaluationWarning, match="0.800 at 0.3 after 0.400 at 0.1"):
        display = StabilityCurveDisplay.from_estimators(
            {"A": models[0]}, data[0][:5], epsilons=[0.1, 0.3], attack=attack, random=False
        )
    np.testing.assert_allclose(lines_of(display)[0][:, 1], 0.4)

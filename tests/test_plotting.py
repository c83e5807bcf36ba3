"""No title, label or legend leaves its figure or runs into its neighbor, however long the names are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustxai import VanillaClassifier
from robustxai.attacks import ERAttack
from robustxai.benchmark import CriticalDifferenceDisplay, FrontierDisplay
from robustxai.datasets import make_preprocessor
from robustxai.experiments.atex import EfficacyDisplay
from robustxai.experiments.bracket import BracketDisplay
from robustxai.experiments.r2et import CandidatesDisplay
from robustxai.inspection import (
    ParetoDisplay,
    SaliencyDisplay,
    SmoothnessDisplay,
    StabilityCurveDisplay,
    ThicknessDisplay,
)
from robustxai.inspection._raw import inside_the_data, raw_values
from tests.plots import plt as plt

pytestmark = pytest.mark.usefixtures("plt")
LONG = "a model with an uncommonly long name, trained by weight decay and R2ET (lambda 0.001)"
r = np.random.default_rng(0)
TRAININGS = ("fgsm_accuracy_samples", "fgsm_accuracy_online")


def bracket(name):
    names = [(d, s, e) for d in (name, "r2et", "vanilla", f"{name} again") for s in range(2) for e in (0.1, 0.5, 1.0)]
    rows = pd.DataFrame(names, columns=["defense", "seed", "epsilon"]).assign(data="adult", k=5)
    for column in ("certified", "attacked", "er_paper", "random", "roc_auc", "comprehensiveness"):
        rows[column] = r.uniform(size=len(rows))
    return BracketDisplay.from_results(rows)


def candidates(name):
    rows = [(m, r.uniform(0.8, 0.9), r.uniform()) for m in (name, "SP") for _ in range(4)]
    return CandidatesDisplay(pd.DataFrame(rows, columns=["method", "roc_auc", "precision_at_k"]), k=8).plot()


def ranks(name):
    rows = [("adult", s, n, r.uniform()) for s in range(3) for n in (name, f"{name} again", "vanilla", "r2et")]
    cells = pd.DataFrame(rows, columns=["data", "seed", "defense", "precision_at_k"])
    return CriticalDifferenceDisplay.from_results(cells)


def efficacy(name):
    arms = [(arm, count) for arm in (name, "plain") for count in (0, 8)]
    rows = [
        {"data": data, "defense": arm, "seed": seed, "iterations": count, "epsilon": 0.1}
        | {training: r.uniform() for training in TRAININGS}
        for data in (name, "adult")
        for seed in range(2)
        for arm, count in arms
    ]
    return EfficacyDisplay.from_results(pd.DataFrame(rows))


def frontier(name):
    rows = [
        {"data": "adult", "defense": n, "seed": s, "k": 8, "roc_auc": r.uniform(), "precision_at_k": r.uniform()}
        for s in range(3)
        for n in (name, "vanilla")
    ]
    return FrontierDisplay.from_results(pd.DataFrame(rows))


def pareto(name):
    values = {f"{kind}_test_{m}": np.sort(r.uniform(size=3)) for kind in ("mean", "std") for m in ("auc", "p")}
    values["mean_test_p"] = values["mean_test_p"][::-1]
    params = [{"clf__module": f"{name} {i}"} for i in range(3)]
    return ParetoDisplay.from_search(SimpleNamespace(cv_results_={"params": params, **values}), "auc", "p")


def curve(name):
    return StabilityCurveDisplay.from_curves({name: [0.9, 0.3], "R2ET": [1, 0.8]}, [0.1, 0.4], k=8, scores={name: 0.9})


def thickness(name):
    columns = ("first_flip", "thickness", "hessian_norm")
    rows = {n: pd.DataFrame({c: r.uniform(size=9) for c in columns}) for n in (name, "R2ET")}
    return ThicknessDisplay(rows, {n: {"thickness": 0.7, "hessian_norm": 0.1} for n in rows}).plot()


def smoothness(name):
    image = r.uniform(size=(1, 12, 12))
    names = (name, "R2ET")
    maps = {n: (r.normal(size=image.shape), r.normal(size=image.shape)) for n in names}
    return SmoothnessDisplay({n: r.uniform(size=9) for n in names}, example=image, maps=maps).plot()


def histogram(name):
    return SmoothnessDisplay({n: r.uniform(size=9) for n in (name, "R2ET")}).plot(kind="histogram")


def images(name):
    x = r.uniform(size=(2, 1, 12, 12))
    classes = {"predicted": [name] * 2, "predicted_adv": [name] * 2, "names": [name] * 2}
    return SaliencyDisplay(x, x, r.normal(size=x.shape), r.normal(size=x.shape), k=3, **classes).plot()


def bars(name):
    x = pd.DataFrame(r.normal(size=(2, 40)), columns=[f"{name} {i}" for i in range(40)])
    classes = {"predicted": [name] * 2, "predicted_adv": [name] * 2, "names": [name] * 2}
    other = [pd.DataFrame(r.normal(size=(2, 40)), columns=x.columns) for _ in range(3)]
    return SaliencyDisplay(x, *other, k=15, **classes).plot()


FIGURES = (
    bracket,
    candidates,
    ranks,
    efficacy,
    frontier,
    pareto,
    curve,
    thickness,
    smoothness,
    histogram,
    images,
    bars,
)


@pytest.mark.parametrize("make", FIGURES, ids=lambda make: make.__name__)
def test_all_text_is_inside_of_the_figure_and_titles_do_not_meet(make):
    figure = make(LONG).figure_
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = []
    for ax in figure.axes:
        texts = [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
            texts += [t for t, at in zip(axis.get_ticklabels(), axis.get_ticklocs()) if low <= at <= high]
        legend = ax.get_legend()
        texts += [] if legend is None else legend.get_texts()
        for text in texts:
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert min(box.x0, box.y0) > -2, text
                assert box.x1 < width + 2, text
                assert box.y1 < height + 2, text
        if ax.title.get_text():
            boxes.append(ax.title.get_window_extent())
        assert min(ax.bbox.width, ax.bbox.height) > 0.6 * figure.dpi  # the panel is still one
    for i, box in enumerate(boxes):
        assert not any(box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)) for other in boxes[i + 1 :])


@pytest.mark.parametrize("make", FIGURES, ids=lambda make: make.__name__)
def test_short_text_is_left_alone(make):
    figure = make("Van").figure_
    for ax in figure.axes:
        assert ax.get_title().count("\n") <= ("AUC" in ax.get_title())
        legend = ax.get_legend()
        assert legend is None or not any("\n" in text.get_text() for text in legend.get_texts())


@pytest.fixture(scope="module")
def table():
    n = 120
    X = pd.DataFrame(
        {
            "age": r.integers(18, 90, n).astype(float),
            "income": r.normal(3e4, 8e3, n),
            "home": r.choice(["a", "b", "c"], n),
        }
    )
    return X, np.where(X["age"] / 50 + X["income"] / 3e4 > 2, "good", "bad")


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_pipeline_is_shown_in_raw_values_and_inside_the_data(table, scale):
    X, y = table
    pipe = make_pipeline(make_preprocessor(X, scale=scale), VanillaClassifier(max_epochs=3)).fit(X, y)
    display = SaliencyDisplay.from_estimator(pipe, X, attack=ERAttack(max_iter=5), k=4, rows=[3, 7])
    features = list(pipe[:-1].get_feature_names_out())
    for name in ("age", "income"):
        place = features.index(name)
        np.testing.assert_allclose(display.values[:, place], X[name].iloc[[3, 7]], rtol=1e-5)
        assert (display.values_adv[:, place] >= X[name].min() * (1 - 1e-5)).all()
        assert (display.values_adv[:, place] <= X[name].max() * (1 + 1e-5)).all()
    labels = [label.get_text() for label in display.axes_[0, 0].get_yticklabels()]
    assert f"age = {X['age'].iloc[3]:.3g}" in labels
    seen = pipe[:-1].transform(X)
    assert (display.X_adv >= seen.min(axis=0) - 1e-6).all()
    assert (display.X_adv <= seen.max(axis=0) + 1e-6).all()


def test_raw_values_by_position_and_of_what_is_no_scaled_column():
    X = r.normal(50, 20, size=(30, 3))
    seen = StandardScaler().fit_transform(X)
    (back,) = raw_values(X, seen, seen[:4])
    np.testing.assert_allclose(back, X[:4])
    squared = np.c_[seen[:, 0], seen[:, 1] ** 2, seen[:, 2]]
    (back,) = raw_values(X, squared, squared)
    np.testing.assert_allclose(back, np.c_[X[:, 0], squared[:, 1], X[:, 2]])


def test_the_range_is_that_of_training_and_of_what_is_shown(table):
    clf = VanillaClassifier(max_epochs=1).fit(np.array([[0.0, 1], [2, 3], [1, 1]]), [0, 1, 0])
    low, high = inside_the_data(clf, [[1.0, 5.0]]).bounds
    assert (low.tolist(), high.tolist()) == ([0.0, 1.0], [2.0, 5.0])
    assert inside_the_data(object(), r.uniform(size=(2, 1, 3, 3))).bounds[0] >= 0

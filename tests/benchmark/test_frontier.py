import numpy as np
import pandas as pd
import pytest

from robustxai.benchmark import FrontierDisplay

pytestmark = pytest.mark.usefixtures("plt")


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    centers = {
        "logistic_regression": (0.874, 1.0),
        "gradient_boosting": (0.886, np.nan),
        "vanilla": (0.884, 0.45),
        "r2et": (0.876, 0.97),
    }
    return pd.DataFrame(
        [
            {"data": "adult", "defense": name, "seed": seed, "k": 8}
            | {"roc_auc": auc + 0.002 * rng.normal(), "precision_at_k": min(p + 0.02 * rng.normal(), 1.0)}
            for seed in range(4)
            for name, (auc, p) in centers.items()
        ]
    )


def test_points_are_means_and_standard_deviations_over_seeds(cells):
    points = FrontierDisplay.from_results(cells).points
    assert list(points.index) == ["logistic_regression", "vanilla", "r2et"]
    for name, point in points.iterrows():
        rows = cells[cells["defense"] == name]
        np.testing.assert_allclose(point["auc"], rows["roc_auc"].mean(), rtol=1e-12)
        paired = [
            auc - cells.loc[cells["seed"] == seed, "roc_auc"].mean() for seed, auc in zip(rows["seed"], rows["roc_auc"])
        ]
        np.testing.assert_allclose(point["auc_sd"], np.std(paired, ddof=1), rtol=1e-9)
        np.testing.assert_allclose(point["precision"], rows["precision_at_k"].mean(), rtol=1e-12)
        np.testing.assert_allclose(point["precision_sd"], np.std(rows["precision_at_k"], ddof=1), rtol=1e-12)


def test_what_is_drawn_is_what_was_computed(cells):
    display = FrontierDisplay.from_results(cells)
    assert display.ax_.get_xlabel() == "AUC on clean test rows"
    assert display.ax_.get_ylabel() == "P@8 under the strongest attack"
    drawn = {}
    for container in display.ax_.containers:
        drawn[container.get_label()] = tuple(float(v[0]) for v in container.lines[0].get_data())
    assert drawn == {
        name.replace("_", " "): (point["auc"], point["precision"]) for name, point in display.points.iterrows()
    }
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert set(labels) == {*drawn, "gradient boosting (AUC only)"}


def test_a_second_panel_and_the_legend_have_what_different_rows_share_where_it_is_known(cells, plt):
    known = cells.assign(between_rows_precision=np.where(cells["defense"] == "r2et", 0.75, 0.5) + cells["seed"] / 100)
    display = FrontierDisplay.from_results(known)
    labels = {text.get_text() for text in display.ax_.get_legend().get_texts()}
    assert {"r2et (B 0.77)", "vanilla (B 0.52)"} <= labels
    below = display.between_ax_
    assert below.get_xlabel() == "AUC on clean test rows"
    assert below.get_xlim() == display.ax_.get_xlim()
    drawn = [tuple(float(v[0]) for v in one.lines[0].get_data()) for one in below.containers]
    assert drawn == list(zip(display.points["auc"], display.points["between"]))
    spread = known[known["defense"] == "r2et"]["between_rows_precision"].std(ddof=1)
    assert display.points.loc["r2et", "between_sd"] == pytest.approx(spread)
    assert FrontierDisplay.from_results(known, ax=plt.subplots()[1]).between_ax_ is None
    assert FrontierDisplay.from_results(cells).between_ax_ is None


def test_a_model_without_an_explanation_is_a_line(cells):
    display = FrontierDisplay.from_results(cells)
    trees = cells.loc[cells["defense"] == "gradient_boosting", "roc_auc"].mean()
    assert display.reference_auc == pytest.approx(trees, rel=1e-12)
    (line,) = [line for line in display.ax_.lines if line.get_label() == "gradient boosting (AUC only)"]
    assert list(line.get_xdata()) == [display.reference_auc] * 2

    without = FrontierDisplay.from_results(cells[cells["defense"] != "gradient_boosting"])
    assert without.reference_auc is None
    assert len(without.ax_.get_legend().get_texts()) == 3


def test_one_seed_has_points_without_a_spread(cells):
    display = FrontierDisplay.from_results(cells[cells["seed"] == 0])
    assert display.points[["auc_sd", "precision_sd"]].isna().all(axis=None)
    assert len(display.ax_.containers) == 3


def test_the_axes_may_be_given(cells, plt):
    figure, axes = plt.subplots(1, 2)
    display = FrontierDisplay.from_results(cells, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()


def test_everything_lies_inside_the_axes(cells):
    display = FrontierDisplay.from_results(cells)
    left, right = display.ax_.get_xlim()
    bottom, top = display.ax_.get_ylim()
    points = display.points
    assert ((points["auc"] - points["auc_sd"] > left) & (points["auc"] + points["auc_sd"] < right)).all()
    assert ((points["precision"] - points["precision_sd"] > bottom) & (points["precision"] < top)).all()


def test_two_data_sets_are_refused(cells):
    both = pd.concat([cells, cells.assign(data="bank")])
    with pytest.raises(ValueError, match=r"one data set, got \['adult', 'bank'\]"):
        FrontierDisplay.from_results(both)

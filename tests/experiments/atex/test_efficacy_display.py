import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.atex import EfficacyDisplay

pytestmark = pytest.mark.usefixtures("plt")
TRAININGS = ("fgsm_accuracy_samples", "fgsm_accuracy_online")


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    arms = [(arm, count) for arm in ("atex", "plain") for count in (0, 2, 8)] + [("logistic_regression", 0)]
    return pd.DataFrame(
        [
            {"data": data, "defense": arm, "seed": seed, "iterations": count, "epsilon": 0.1, "majority": majority}
            | {training: rng.uniform(0.5, 0.8) for training in TRAININGS}
            for data, majority in (("bank", 0.88), ("adult", 0.76))
            for seed in range(3)
            for arm, count in arms
        ]
    )


def test_points_are_means_and_paired_deviations_over_seeds(cells):
    display = EfficacyDisplay.from_results(cells)
    assert len(display.points) == 2 * 2 * 2 * 3
    for (data, training, arm, count), point in display.points.iterrows():
        lines = cells[(cells["data"] == data) & (cells["defense"] != "logistic_regression")]
        rows = lines[(lines["defense"] == arm) & (lines["iterations"] == count)]
        assert point["accuracy"] == pytest.approx(rows[training].mean())
        paired = [v - lines.loc[lines["seed"] == s, training].mean() for s, v in zip(rows["seed"], rows[training])]
        assert point["accuracy_sd"] == pytest.approx(np.std(paired, ddof=1))


def test_what_is_drawn_is_what_was_computed(cells):
    display = EfficacyDisplay.from_results(cells)
    assert display.axes_.shape == (2, 2)
    assert [ax.get_title() for ax in display.axes_[0]] == ["bank", "adult"]
    for row, training in zip(display.axes_, TRAININGS):
        for ax, data in zip(row, ("bank", "adult")):
            drawn = {c.get_label(): c.lines[0].get_data() for c in ax.containers}
            assert list(drawn) == ["atex", "plain"]
            for arm, (x, y) in drawn.items():
                np.testing.assert_allclose(x.astype(float), [0, 2, 8], atol=0.2)
                points = display.points.xs((data, training, arm), level=("data", "training", "defense"))
                np.testing.assert_allclose(y.astype(float), points["accuracy"])
            levels = {line.get_label(): line.get_ydata()[0] for line in ax.lines}
            assert levels["constant prediction"] == pytest.approx(0.88 if data == "bank" else 0.76)
            linear = cells[(cells["data"] == data) & (cells["defense"] == "logistic_regression")]
            assert levels["logistic regression"] == pytest.approx(linear[training].mean())
    labels = [text.get_text() for text in display.axes_[0, -1].get_legend().get_texts()]
    assert sorted(labels) == ["atex", "constant prediction", "logistic regression", "plain"]


def test_one_seed_without_logistic_regression(cells):
    display = EfficacyDisplay.from_results(cells[(cells["seed"] == 0) & (cells["defense"] != "logistic_regression")])
    assert display.points["accuracy_sd"].isna().all()
    assert display.reference.empty
    assert len(display.axes_[0, 0].containers) == 2


def test_the_axes_may_be_given(cells, plt):
    figure, axes = plt.subplots(2, 1)
    display = EfficacyDisplay.from_results(cells[cells["data"] == "bank"], axes=axes)
    assert display.figure_ is figure
    assert list(display.axes_[:, 0]) == list(axes)


def test_two_radii_are_refused(cells):
    with pytest.raises(ValueError, match="one epsilon"):
        EfficacyDisplay.from_results(pd.concat([cells, cells.assign(epsilon=0.3)]))


def test_a_study_of_ones_own_needs_one_training_and_no_levels(cells):
    own = cells[cells["defense"] != "logistic_regression"].drop(columns=["fgsm_accuracy_online", "majority"])
    display = EfficacyDisplay.from_results(own)
    assert display.axes_.shape == (1, 2)
    assert display.majority.empty
    for ax, data in zip(display.axes_[0], ("bank", "adult")):
        drawn = {c.get_label(): c.lines[0].get_ydata() for c in ax.containers}
        for arm, heights in drawn.items():
            rows = own[(own["data"] == data) & (own["defense"] == arm)]
            np.testing.assert_allclose(
                heights.astype(float), rows.groupby("iterations")["fgsm_accuracy_samples"].mean()
            )
        assert "constant prediction" not in [line.get_label() for line in ax.lines]


def test_without_an_accuracy_there_is_nothing_to_draw(cells):
    with pytest.raises(ValueError, match="at least one of the columns"):
        EfficacyDisplay.from_results(cells.drop(columns=list(TRAININGS)))

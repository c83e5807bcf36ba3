import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.bracket import BracketDisplay

pytestmark = pytest.mark.usefixtures("plt")

EPSILONS = (0.1, 0.5, 1.0)
DEFENSES = ("vanilla", "weight_decay", "softplus", "r2et")


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [(defense, seed, epsilon) for defense in DEFENSES for seed in range(2) for epsilon in EPSILONS],
        columns=["defense", "seed", "epsilon"],
    )
    for column in ("certified", "attacked", "er_paper", "random", "roc_auc", "comprehensiveness"):
        table[column] = rng.uniform(size=len(table))
    return table.assign(data="adult", k=5)


def test_every_line_has_the_means_over_seeds_and_the_shade_lies_between(rows):
    display = BracketDisplay.from_results(rows)
    assert len(display.axes_) == len(display.figure_.axes) == len(DEFENSES)
    for ax, defense in zip(display.axes_, DEFENSES):
        table = rows[rows["defense"] == defense]
        means = table.groupby("epsilon")[["certified", "attacked", "er_paper", "random"]].mean()
        lines = {line.get_label(): line.get_xydata() for line in ax.lines}
        labels = {"certified": "certified", "attacked": "attacked", "er_paper": "the papers' attack"}
        for column, label in {**labels, "random": "random directions"}.items():
            np.testing.assert_allclose(lines[label], np.column_stack([EPSILONS, means[column]]))
        (shade,) = ax.collections
        corners = shade.get_paths()[0].vertices
        for epsilon, ends in means[["certified", "attacked"]].iterrows():
            heights = corners[np.isclose(corners[:, 0], epsilon), 1]
            np.testing.assert_allclose([heights.min(), heights.max()], sorted(ends))
        assert ax.get_xscale() == "log"
        np.testing.assert_allclose(ax.get_xticks(), EPSILONS)
        assert defense.replace("_", " ") in ax.get_title()
        assert f"AUC {table['roc_auc'].mean():.3f}" in ax.get_title()
        assert f"COMP {table['comprehensiveness'].mean():.2f}" in ax.get_title()
    assert display.figure_.get_supylabel() == "P@5"
    (legend,) = display.figure_.legends
    assert len(legend.get_texts()) == 5
    display.figure_.clear()


def test_a_title_has_what_different_rows_share_where_it_is_known(rows):
    assert not any(", B " in ax.get_title() for ax in BracketDisplay.from_results(rows).axes_)
    rows = rows.assign(between_rows_precision=np.linspace(0.1, 0.9, len(rows)))
    for ax, defense in zip(BracketDisplay.from_results(rows).axes_, DEFENSES):
        mean = rows.loc[rows["defense"] == defense, "between_rows_precision"].mean()
        assert ax.get_title().endswith(f", B {mean:.2f}")


def test_it_draws_on_given_axes(rows):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2)
    display = BracketDisplay.from_results(rows, axes=axes)
    assert display.figure_ is figure
    assert list(display.axes_) == list(axes.flat)
    plt.close(figure)


def test_two_data_sets_do_not_mix(rows):
    with pytest.raises(ValueError, match="one data set, got \\['adult', 'bank'\\]"):
        BracketDisplay.from_results(pd.concat([rows, rows.assign(data="bank")]))

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from robustxai._statistics import nemenyi_difference
from robustxai.benchmark import CriticalDifferenceDisplay

pytestmark = pytest.mark.usefixtures("plt")
CENTERS = {"r2et": 0.9, "softplus": 0.88, "at": 0.87, "vanilla": 0.3, "trees": np.nan}


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    rows = [
        {"data": data, "seed": seed, "defense": name, "precision_at_k": center + 0.05 * rng.normal()}
        for data in ("adult", "bank", "compas")
        for seed in range(5)
        for name, center in CENTERS.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("blocks", "n"), [("split", 15), ("data", 3)])
def test_ranks_are_those_of_splits_or_of_tables(cells, blocks, n):
    display = CriticalDifferenceDisplay.from_results(cells, blocks=blocks)
    known = cells[cells["defense"] != "trees"]
    keys = ["data", "seed"] if blocks == "split" else ["data"]
    means = known.groupby([*keys, "defense"])["precision_at_k"].mean().unstack()
    ranks = means.rank(axis=1, ascending=False)
    pd.testing.assert_series_equal(display.ranks.sort_index(), ranks.mean(), check_names=False)
    assert display.n_blocks == n
    assert display.critical_difference == nemenyi_difference(4, n)
    assert display.friedman == pytest.approx(stats.friedmanchisquare(*means.to_numpy().T).pvalue)


def test_what_is_drawn_is_what_was_computed(cells):
    display = CriticalDifferenceDisplay.from_results(cells)
    ax, ranks = display.ax_, display.ranks.sort_values()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ranks.index)
    (points,) = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points.get_xdata(), ranks)
    bar, *joined = [line for line in ax.lines if line.get_marker() != "o"][::-1]
    assert np.ptp(bar.get_xdata()) == pytest.approx(display.critical_difference)
    # the three stable methods are one group, and Vanilla stands alone
    ((first, last),) = [line.get_ydata() for line in joined]
    assert (round(first), round(last)) == (0, 2)
    assert ranks.iloc[2] - ranks.iloc[0] <= display.critical_difference < ranks.iloc[3] - ranks.iloc[2] + 1e-9
    assert "15 blocks, Friedman p = " in ax.get_xlabel().replace("\n", " ")
    left, right = ax.get_xlim()
    for line in ax.lines:
        assert (line.get_xdata() >= left).all()
        assert (line.get_xdata() <= right).all()


def test_many_methods_have_lines_that_do_not_meet(plt):
    ranks = pd.Series(np.linspace(1, 12, 12), index=[f"method_{i}" for i in range(12)])
    display = CriticalDifferenceDisplay(ranks, critical_difference=3.0, n_blocks=9, metric="AUC").plot()
    lines = [(line.get_xdata()[0], *line.get_ydata()) for line in display.ax_.lines if line.get_linewidth() == 3]
    assert len(lines) == 9
    for i, (x, low, high) in enumerate(lines):
        assert not any(x == other and low <= top and bottom <= high for other, bottom, top in lines[i + 1 :])


def test_a_method_without_a_value_in_some_block_is_left_out(cells):
    cells.loc[(cells["defense"] == "at") & (cells["data"] == "bank") & (cells["seed"] == 3), "precision_at_k"] = np.nan
    for blocks in ("split", "data"):
        assert set(CriticalDifferenceDisplay.from_results(cells, blocks=blocks).ranks.index) == {
            "r2et",
            "softplus",
            "vanilla",
        }


def test_two_methods_have_no_friedman_test_and_one_has_no_ranks(cells):
    two = cells[cells["defense"].isin(["r2et", "vanilla"])]
    display = CriticalDifferenceDisplay.from_results(two)
    assert display.friedman is None
    assert "Friedman" not in display.ax_.get_xlabel()
    with pytest.raises(ValueError, match="two methods"):
        CriticalDifferenceDisplay.from_results(two[two["defense"] == "r2et"])


def test_the_axes_may_be_given(cells, plt):
    figure, axes = plt.subplots(1, 2)
    display = CriticalDifferenceDisplay.from_results(cells, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()

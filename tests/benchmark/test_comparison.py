import numpy as np
import pandas as pd
import pytest

from robustxai._statistics import corrected_t, holm, sign_flip_p, wilcoxon_p
from robustxai.benchmark import compare_methods, comparison_markdown

TEST = {"sign_flip": sign_flip_p, "wilcoxon": wilcoxon_p}


@pytest.fixture
def cells():
    """Three tables of five splits; every split shifts all methods together; trees have no P@k."""
    rng = np.random.default_rng(0)
    shift = {(data, seed): rng.normal() for data in "cab" for seed in range(5)}
    centers = {"r2et": 0.9, "vanilla": 0.4, "trees": np.nan, "softplus": 0.88}
    rows = [
        {"data": data, "seed": seed, "defense": name, "k": 8, "epsilon": 0.5, "norm": "2", "n_features": 9}
        | {"precision_at_k": center + both + 0.03 * rng.normal(), "roc_auc": 0.8 + both + 0.01 * rng.normal()}
        for (data, seed), both in shift.items()
        for name, center in centers.items()
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def differences(cells, method, metric="precision_at_k", reference="r2et"):
    """Method less reference, pair by pair, with the table of each."""
    found = {}
    for _, row in cells.iterrows():
        found.setdefault((row["data"], row["seed"]), {})[row["defense"]] = row[metric]
    pairs = [(key[0], values[method] - values[reference]) for key, values in found.items()]
    return np.array([d for _, d in pairs]), np.array([data for data, _ in pairs])


@pytest.mark.parametrize("test", ["sign_flip", "wilcoxon", "corrected_t"])
def test_all_pairs_of_table_and_split_are_pooled(cells, test):
    frame = compare_methods(cells, "r2et", test=test, level=0.9).set_index("defense")
    assert set(frame.index) == {"vanilla", "softplus"}  # trees share no pair
    for method, row in frame.iterrows():
        d, tables = differences(cells, method)
        mean, low, high, p = corrected_t(d, tables, level=0.9)
        np.testing.assert_allclose(row[["difference", "low", "high"]].astype(float), [mean, low, high])
        assert row["p"] == pytest.approx(TEST[test](d) if test in TEST else p)
        assert row["n_pairs"] == 15
    np.testing.assert_allclose(frame["p_holm"], holm(frame["p"].to_numpy()))
    if test != "corrected_t":
        assert frame.loc["vanilla", "p"] == 2 / 2**15


def test_the_shift_of_a_split_cancels(cells):
    frame = compare_methods(cells, "r2et").set_index("defense")
    assert frame.loc["vanilla", "high"] - frame.loc["vanilla", "low"] < 0.1 < cells["precision_at_k"].std()


def test_the_order_is_that_of_the_cells_and_other_columns_can_be_compared(cells):
    cells = cells.sort_values("seed", kind="stable").rename(columns={"defense": "method"})
    frame = compare_methods(cells, "trees", metric="roc_auc", by="method")
    assert list(frame["method"]) == [m for m in dict.fromkeys(cells["method"]) if m != "trees"]
    assert (frame["n_pairs"] == 15).all()


def test_only_pairs_that_both_have_are_compared(cells):
    lacks = cells[(cells["defense"] != "vanilla") | (cells["data"] == "a")]
    frame = compare_methods(lacks, "r2et").set_index("defense")
    assert frame["n_pairs"].to_dict() == {"vanilla": 5, "softplus": 15}
    d, _ = differences(cells[cells["data"] == "a"], "vanilla")
    assert frame.loc["vanilla", "difference"] == pytest.approx(d.mean())
    assert frame.loc["vanilla", "p"] == 2 / 2**5


@pytest.mark.parametrize(
    ("change", "arguments", "match"),
    [
        (lambda c: c, {"reference": "r2t"}, "no method 'r2t'.*Did you mean 'r2et'"),
        (lambda c: c, {"metric": "roc_acu"}, "no column 'roc_acu'.*Did you mean 'roc_auc'"),
        (lambda c: c, {"by": "method"}, "no column 'method'"),
        (lambda c: pd.concat([c, c.tail(1)]), {}, "several rows of one table, split and method"),
    ],
)
def test_what_cannot_be_paired_is_refused(cells, change, arguments, match):
    with pytest.raises(ValueError, match=match):
        compare_methods(change(cells), **{"reference": "r2et", **arguments})


def test_the_markdown_has_each_table_and_all_of_them(cells):
    text = comparison_markdown(cells.sort_values(["data", "seed"]), "r2et", label=str.upper)
    assert "less R2ET." in text
    assert "p is at least 0.0625" in text
    auc, precision = text.split("**P@k")
    assert "| TREES |" in auc  # an AUC, and no P@k
    assert "TREES" not in precision
    (line,) = [line for line in precision.splitlines() if line.startswith("| VANILLA |")]
    headings = next(line for line in precision.splitlines() if line.startswith("| less R2ET |"))
    assert headings == "| less R2ET | a | b | c | all tables | p | p by Holm | pairs |"
    values = [value.strip() for value in line.strip("|").split("|")]
    for place, part in enumerate([cells[cells["data"] == data] for data in "abc"] + [cells], start=1):
        row = compare_methods(part, "r2et").set_index("defense").loc["vanilla"]
        numbers = [f"{100 * row[name]:+.1f}" for name in ("difference", "low", "high")]
        assert values[place] == "{} [{}, {}]".format(*numbers)
    assert values[-1] == "15"


def test_one_table_of_one_split_has_differences_alone(cells):
    text = comparison_markdown(cells[(cells["data"] == "a") & (cells["seed"] == 0)], "r2et")
    assert "all tables" not in text
    assert "[" not in text.split("**P@k")[1]
    assert "With 1 split of one table p is at least 1," in text


def test_without_the_reference_there_is_no_text(cells):
    assert comparison_markdown(cells, "atex") == ""
    assert comparison_markdown(cells[cells["defense"] == "r2et"], "r2et") == ""

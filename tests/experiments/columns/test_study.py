"""The study of contributions of columns: its grid and its tables."""

import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.columns import (
    MODELS,
    ColumnsStudy,
    columns_comparison,
    columns_markdown,
    columns_protocol,
)

METRICS = ("roc_auc", "precision_at_k", "certified_precision_at_k", "between_rows_precision", "comprehensiveness")


def results(**changes):
    row = {"data": "adult", "k": 4, "share": 0.05, "max_switches": 1, "n_rows": 200, "fit_seconds": 1.26}
    row |= dict.fromkeys((*METRICS, "sufficiency"), 0.25)
    names = ("logistic_regression", "gradient_boosting")
    frame = pd.DataFrame([{**row, "defense": name, "seed": seed} for seed in range(2) for name in names])
    return frame.assign(**changes)


def test_the_grid_has_every_model_on_every_table_split_by_split():
    cells = ColumnsStudy(("adult", "bank", "adult"), seeds=2, k=3, max_switches=0).cells()
    assert [cell.seed for cell in cells] == [0] * 2 * len(MODELS) + [1] * 2 * len(MODELS)
    assert {(cell.data, cell.defense) for cell in cells} == {
        (data, name) for data in ("adult", "bank") for name in MODELS
    }
    assert {(cell.k, cell.share, cell.max_switches, cell.n_rows) for cell in cells} == {(3, 0.05, 0, 200)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": ("adlut",)}, "Did you mean 'adult'"),
        ({"defenses": ("r2te",)}, "Did you mean 'r2et'"),
        ({"share": -0.1}, "share"),
        ({"max_switches": -1}, "max_switches"),
    ],
)
def test_a_wrong_argument_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ColumnsStudy(**wrong)


def test_the_table_has_means_and_standard_deviations_over_splits():
    found = results(roc_auc=[0.8, 0.9, 0.82, 0.9], certified_precision_at_k=[0.5, np.nan, 0.5, np.nan])
    lines = columns_markdown(found, {"gradient_boosting": "**trees**"}).splitlines()
    assert "P@4 attacked" in lines[0]
    # the standard deviation of 0.80 and 0.82 is 0.02 / sqrt(2)
    assert lines[2].startswith("| adult | logistic regression | 0.8100 ± 0.0141 | 0.250 ± 0.000 | 0.500 ± 0.000 |")
    assert lines[3].startswith("| adult | **trees** | 0.9000 ± 0.0000 | 0.250 ± 0.000 | - |")
    assert "±" not in columns_markdown(found[:2])
    assert "adult (2 splits)" in columns_protocol(found)
    assert "5 % of the range" in columns_protocol(found)
    assert "at most 1 column of categories" in columns_protocol(found)


def test_a_figure_that_one_split_lacks_is_missing():
    found = results(certified_precision_at_k=[0.5, 0.5, np.nan, 0.5])
    assert "| - |" in columns_markdown(found).splitlines()[2]


def test_the_comparison_is_from_logistic_regression():
    found = columns_comparison(results(roc_auc=[0.8, 0.85, 0.81, 0.86], precision_at_k=[0.75, 0.25, 0.7, 0.2]))
    assert "**P@4 attacked, in points**" in found
    assert "| gradient boosting | +5.00 [" in found
    assert "| gradient boosting | -50.0 [" in found
    assert columns_comparison(results()[lambda rows: rows["defense"] == "gradient_boosting"]) == ""

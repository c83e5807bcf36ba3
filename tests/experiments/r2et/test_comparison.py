"""Paired differences of the R2ET paper's experiments: both rules, the figure of merit, the reference."""

import numpy as np
import pandas as pd
import pytest

from robustxai.experiments.r2et import Study, comparisons_markdown, reference_aucs
from robustxai.experiments.r2et._methods import NORMALIZED

EMPTY = pd.DataFrame()
METHODS = {"Logistic regression": (0.80, 1.0), "Vanilla": (0.90, 0.5), "SP": (0.86, 0.96), NORMALIZED: (0.88, 0.97)}


def study(methods=METHODS):
    rng = np.random.default_rng(0)
    rows = [
        {"data": data, "seed": seed, "method": name, "choice": choice, "precision_at_k": precision}
        | {"roc_auc": auc + 0.002 * rng.normal()}
        for data in ("adult", "bank")
        for choice in ("precision", "merit", "auc")
        for seed in range(3)
        for name, (auc, precision) in methods.items()
        if choice != "auc" or name in ("Vanilla", "SP")
    ]
    return Study(EMPTY, pd.DataFrame(rows), EMPTY, EMPTY)


def line_of(text, method):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {method} |")]
    return [value.strip() for value in line.strip("|").split("|")]


def test_both_rules_have_three_tables_and_merit_is_a_share_of_the_gap():
    tests = study().tests
    first, second = comparisons_markdown(study()).split("### ")[1:]
    for text, choice in ((first, "precision"), (second, "merit")):
        auc, precision, merit = text.split("**AUC")[1].partition("**P@k")[0], *text.split("**P@k")[1].split("**Figure")
        expected = []
        for _, table in tests.groupby("data", sort=False):
            linear, best = reference_aucs(table)
            mean = table[table["choice"] == choice].groupby("method")["roc_auc"].mean()
            expected.append((mean["SP"] - mean[NORMALIZED], best - linear))
        values = line_of(merit, "SP")
        assert [value.split(" ")[0] for value in values[1:3]] == [f"{100 * d / gap:+.0f}" for d, gap in expected]
        assert line_of(auc, "SP")[1].startswith(f"{100 * expected[0][0]:+.2f} [")
        assert line_of(precision, "Vanilla")[1] == "-47.0 [-47.0, -47.0]"
        assert "| Vanilla |" not in merit  # it is not stable


@pytest.mark.parametrize(
    ("names", "reference", "expected"),
    [
        ({}, None, NORMALIZED),
        ({NORMALIZED: "R2ET-d"}, None, "R2ET-d"),
        ({NORMALIZED: "AT"}, None, "Vanilla"),
        ({}, "SP", "SP"),
    ],
)
def test_the_reference_is_a_form_of_r2et_unless_one_is_named(names, reference, expected):
    methods = {names.get(name, name): values for name, values in METHODS.items()}
    assert f"| less {expected} |" in comparisons_markdown(study(methods), reference)

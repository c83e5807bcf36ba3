"""From the CSV of a real table to reasons with radii, in ten lines."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from robustxai import SoftplusClassifier
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor
from robustxai.reasons import explain_columns, reasons

HOME = Path(os.environ.get("ROBUSTXAI_DATA", Path(__file__).parents[3] / "shared" / "data"))
#: Target, columns that are no inputs, and budgets in the units of the table.
TABLES = {
    "adult": ("income", ["split"], {"age": 1, "hours-per-week": 2, "capital-gain": 100}),
    "bank": ("y", ["duration"], {"age": 1, "euribor3m": 0.05, "campaign": 1}),
    "compas": ("two_year_recid", ["is_recid", "c_charge_desc"], {"age": 1, "priors_count": 1, "length_of_stay": 2}),
    "credit_default": (
        "default.payment.next.month",
        [],
        {
            "LIMIT_BAL": 1000,
            "AGE": 1,
            **{f"{kind}_AMT{month}": 100 for kind in ("BILL", "PAY") for month in range(1, 7)},
        },
    ),
}


def made_table(n=1500):
    """13 categorical and 7 numeric columns."""
    r = np.random.default_rng(7)
    X = pd.DataFrame({f"c{j}": r.choice(list("abcdefgh")[: 2 + j % 6], n) for j in range(13)})
    X = X.assign(**{f"n{j}": r.gamma(2.0, 10.0**j, n).round(2) for j in range(7)})
    logit = X["n0"] / 2 - X["n3"] / 2e3 + (X["c3"] == "b") - 2 * (X["c7"] == "a") * (X["n1"] > 15)
    return X.assign(target=np.where(logit + r.normal(size=n) > logit.median(), "good", "bad"))


@pytest.mark.parametrize("name", [*TABLES, "made"])
def test_from_csv_to_reasons(name, tmp_path):
    path = tmp_path / "table.csv"
    if name == "made":
        made_table().to_csv(path, index=False)
        target, left_out, budgets = "target", [], {f"n{j}": f"{1 + j % 2}%" for j in range(7)}
    else:
        target, left_out, budgets = TABLES[name]
        source = HOME / name / f"{name}.csv.gz"
        if not source.exists():
            pytest.skip("needs the real data: set ROBUSTXAI_DATA")
        pd.read_csv(source).sample(1500, random_state=0).to_csv(path, index=False)

    X = pd.read_csv(path).drop(columns=left_out)
    y = X.pop(target)
    pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=6)).fit(X, y)
    rows = X.sample(8, random_state=1)
    threat = TableThreat.from_frame(X, budgets=budgets, max_switches=0)
    found = reasons(pipe, rows, top=4, direction="adverse", threat=threat)

    frame = found.frame
    assert set(frame["row"]) <= set(rows.index)
    assert (frame["contribution"] < 0).all()
    assert frame["status"].isin(["proven", "attacked", "undecided"]).all()
    assert (frame["status"] == "proven").any()
    assert ((frame["radius"] == 1) == (frame["status"] == "proven")).all()
    contributions = explain_columns(pipe, rows, y=pipe.classes_[1], n_points=64)
    assert contributions.attrs["residual"] < 1e-3
    margin = np.log(pipe.predict_proba(rows)[:, 1] / pipe.predict_proba(rows)[:, 0])
    b = pipe[-1].predict_proba(pipe[-1].table_summary_.baseline[None])[0]
    np.testing.assert_allclose(contributions.sum(axis=1), margin - np.log(b[1] / b[0]), atol=2e-3)
    if len(found.attacked_rows):
        for label in found.attacked_rows.index:
            assert threat.contains(rows.loc[[label]], found.attacked_rows.loc[[label]]).inside
    raw = {(line["row"], line["column"]): line["value"] for _, line in frame.iterrows()}
    assert all(value == rows.loc[label, column] or pd.isna(value) for (label, column), value in raw.items())

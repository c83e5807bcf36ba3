"""Contributions of raw columns: against sums by hand, scores and coefficients."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.columns import column_map
from robustxai.explainers import Gradient, IntegratedGradients
from robustxai.reasons import explain_columns


def log_odds(pipe, X):
    p = pipe.predict_proba(X)
    return np.log(p[:, 1] / p[:, 0])


@pytest.mark.parametrize("output", ["log_odds", "probability"])
def test_equals_the_sums_by_hand_and_adds_up(output, data, pipe):
    X, _ = data
    baseline = X.iloc[[3]]
    found = explain_columns(pipe, X[:20], y="paid", baseline=baseline, output=output, n_points=64)
    columns, x = column_map(pipe), pipe[:-1].transform(X[:20])
    b = np.asarray(pipe[:-1].transform(baseline))[0]
    by_feature = pipe[-1].explain(x, "paid", explainer=IntegratedGradients(64, b, output))
    by_hand = np.stack([np.asarray(by_feature)[:, g].sum(axis=1) for g in columns.groups], axis=1)
    np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-12)
    assert list(found.columns) == list(columns.columns)
    assert list(found.index) == list(X[:20].index)
    score = (
        (lambda rows: log_odds(pipe, rows)) if output == "log_odds" else (lambda rows: pipe.predict_proba(rows)[:, 1])
    )
    difference = score(X[:20]) - score(baseline)
    np.testing.assert_allclose(found.sum(axis=1), difference, atol=1e-4)
    assert found.attrs["residual"] <= 1e-4


def test_a_linear_models_are_coefficients_times_differences(data):
    X, y = data
    pipe = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age", "debts", "months"]), (OneHotEncoder(drop="first"), ["home", "job"])
        ),
        LinearClassifier(max_epochs=3),
    ).fit(X, y)
    x = pipe[0].transform(X)
    weight = np.asarray(pipe[-1].explain(x[:1], "paid", explainer=Gradient("log_odds")))[0]
    base = {"age": 40, "home": "rent", "debts": 2, "income": 1.0, "sex": "f", "months": 5, "job": "b"}
    b = pipe[0].transform(pd.DataFrame([base]))[0]
    by_feature = weight * (x - b)
    found = explain_columns(pipe, X, y="paid", baseline=base)
    expected = {
        "age": by_feature[:, 0], "debts": by_feature[:, 1], "months": by_feature[:, 2],
        "home": by_feature[:, 3:5].sum(axis=1), "job": by_feature[:, 5:].sum(axis=1),
    }  # fmt: skip
    assert sorted(found.columns) == sorted(expected)  # income and sex are not used
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_a_wide_table_of_13_categories_and_7_numbers():
    r = np.random.default_rng(1)
    n = 250
    X = pd.DataFrame({f"c{j}": r.choice(list("abcdefg")[: 2 + j % 5], n) for j in range(13)})
    X = X.assign(**{f"n{j}": r.normal(10.0**j, 10.0**j, n) for j in range(7)})
    y = (X["n0"] + (X["c3"] == "b") - (X["c5"] == "a") > 1).astype(int)
    pipe = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), [f"c{j}" for j in range(9)]),
            (OrdinalEncoder(), [f"c{j}" for j in range(9, 13)]),
            (StandardScaler(), [f"n{j}" for j in range(5)]),
            (KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), ["n5", "n6"]),
        ),
        SoftplusClassifier(max_epochs=3),
    ).fit(X, y)
    found = explain_columns(pipe, X[:40], y=1, n_points=64)
    assert found.shape == (40, 20)
    base = pipe[-1].table_summary_.baseline
    margin = np.log(pipe.predict_proba(X[:40])[:, 1] / pipe.predict_proba(X[:40])[:, 0])
    p = pipe[-1].predict_proba(base[None])[0]
    np.testing.assert_allclose(found.sum(axis=1), margin - np.log(p[1] / p[0]), atol=1e-3)


def test_baselines(data, pipe):
    X, _ = data
    one = explain_columns(pipe, X[:5], baseline=X.iloc[0])
    pd.testing.assert_frame_equal(one, explain_columns(pipe, X[:5], baseline=X.iloc[0].to_dict()), rtol=1e-12)
    assert one.iloc[0].abs().max() == 0
    accepted = X[pipe.predict(X) == "paid"]
    found = explain_columns(pipe, X[:5], y="paid", baseline=accepted, method="gradient_times_input")
    mean = np.asarray(pipe[:-1].transform(accepted), dtype=float).mean(axis=0)
    x = np.asarray(pipe[:-1].transform(X[:5]), dtype=float)
    g = np.asarray(pipe[-1].explain(pipe[:-1].transform(X[:5]), "paid", explainer=Gradient("log_odds")))
    by_hand = np.stack([((x - mean) * g)[:, j].sum(axis=1) for j in column_map(pipe).groups], axis=1)
    np.testing.assert_allclose(found, by_hand, atol=1e-9)
    typical = explain_columns(pipe, X[:5])
    modes = {name: X[name].mode()[0] for name in ("home", "sex", "job")}
    same = X[:5][["home", "sex", "job"]] == pd.Series(modes)
    assert (typical[["home", "sex", "job"]].to_numpy()[same.to_numpy()] == 0).all()
    assert (typical[["home", "sex", "job"]].to_numpy()[~same.to_numpy()] != 0).all()


def test_bad_input_is_said(data, pipe):
    X, y = data
    with pytest.raises(TypeError, match="needs a DataFrame of raw rows"):
        explain_columns(pipe, X.to_numpy())
    with pytest.raises(NotFittedError):
        explain_columns(make_pipeline(StandardScaler(), SoftplusClassifier()), X)
    mixed = make_pipeline(StandardScaler(), PCA(2), SoftplusClassifier(max_epochs=1)).fit(X[["age", "debts"]], y)
    with pytest.raises(ValueError, match="pca"):
        explain_columns(mixed, X[["age", "debts"]])
    for wrong in (X.drop(columns="age"), X.assign(extra=1), X[X.columns[::-1]]):
        with pytest.raises(ValueError, match="column"):
            explain_columns(pipe, wrong)
    with pytest.raises(TypeError, match="baseline must be a raw row"):
        explain_columns(pipe, X, baseline=3)
    with pytest.raises(ValueError, match="baseline"):
        explain_columns(pipe, X, baseline={"age": 3})
    assert explain_columns(pipe, X[:0]).shape == (0, 7)

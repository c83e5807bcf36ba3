from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from robustxai.datasets import TableSchema, make_preprocessor
from robustxai.exceptions import DataWarning


@pytest.fixture
def X():
    return pd.DataFrame(
        {
            "sex": pd.Categorical(["f", "m", "m", "f"]),
            "age": [20, 40, 30, 60],
            "home": ["own", None, "rent", "own"],
            "income": [1.0, np.nan, 3.0, 9.0],
            "insured": [True, False, True, True],
        }
    )


NAMES = ["age", "income", "income_missing", "sex_m", "home_missing", "home_own", "home_rent", "insured_True"]


def test_against_a_computation_by_hand(X):
    out = make_preprocessor(X).fit(X).transform(X)
    expected = [
        [0.00, 0.00, 0, 0, 0, 1, 0, 1],
        [0.50, 0.25, 1, 1, 1, 0, 0, 0],  # the gap in the income is the median of 1, 3, 9, and marked
        [0.25, 0.25, 0, 1, 0, 0, 1, 1],
        [1.00, 1.00, 0, 0, 0, 1, 0, 1],
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert out.dtype == np.float32


def test_standard_scaling_has_mean_0_and_variance_1(X):
    out = make_preprocessor(X, scale="standard").fit_transform(X)
    np.testing.assert_allclose(out[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(out[:, 0], (X["age"] - 37.5) / X["age"].std(ddof=0), rtol=1e-6)
    assert set(np.unique(out[:, 2:])) == {0.0, 1.0}  # marks of gaps and levels are not scaled


def test_names_and_pandas_output(X):
    preprocessor = make_preprocessor(X).set_output(transform="pandas").fit(X)
    assert list(preprocessor.get_feature_names_out()) == NAMES
    out = preprocessor.transform(X)
    assert list(out.columns) == NAMES
    assert set(out.dtypes) == {np.dtype(np.float32)}
    assert out.index.equals(X.index)


def test_new_rows_stay_in_the_box_and_an_unseen_level_is_all_zeros(X):
    preprocessor = make_preprocessor(X).fit(X)
    new = pd.DataFrame({"age": [-5, 500], "income": [99.0, np.nan], "sex": ["m", "f"], "home": ["boat", "own"]})
    new["insured"] = [True, False]
    with pytest.warns(UserWarning, match="unknown categories"):
        out = preprocessor.transform(new)
    np.testing.assert_allclose(out, [[0, 1, 0, 1, 0, 0, 0, 1], [1, 0.25, 1, 0, 0, 1, 0, 0]], rtol=1e-6)


def test_a_gap_in_a_binary_column_is_a_third_level_whatever_its_mark():
    for gap, dtype in [(None, object), (np.nan, object), (pd.NA, "string"), (None, "category"), (pd.NA, "boolean")]:
        values = [True, False, gap] if dtype == "boolean" else ["a", "b", gap]
        X = pd.DataFrame({"column": pd.Series(values, dtype=dtype)})
        out = make_preprocessor(X).fit_transform(X)
        assert out.shape == (3, 3), dtype
        np.testing.assert_array_equal(out.sum(axis=1), 1)


def test_other_dtypes_of_numbers_and_categories():
    X = pd.DataFrame(
        {
            "nullable": pd.Series([1, None, 3], dtype="Int64"),
            "small": np.array([1, 2, 4], dtype=np.float32),
            "code": pd.Categorical([7, 8, 9]),
            "nothing": [np.nan] * 3,
        }
    )
    preprocessor = make_preprocessor(X).set_output(transform="pandas")
    out = preprocessor.fit_transform(X)
    assert list(out.columns) == ["nullable", "small", "nothing", "nullable_missing", "code_7", "code_8", "code_9"]
    np.testing.assert_allclose(out["nullable"], [0, 0.5, 1])
    np.testing.assert_array_equal(out["nullable_missing"], [0, 1, 0])
    np.testing.assert_allclose(out["small"], [0, 1 / 3, 1], rtol=1e-6)
    assert (out["nothing"] == 0).all()


def test_only_numbers_or_only_levels(X):
    assert make_preprocessor(X[["age"]]).fit_transform(X).shape == (4, 1)
    assert make_preprocessor(X[["home"]]).fit_transform(X).shape == (4, 3)


def test_clone_and_pickle_give_the_same_output(X):
    preprocessor = make_preprocessor(X)
    expected = clone(preprocessor).fit_transform(X)
    assert not hasattr(preprocessor, "transformers_")  # returned unfitted, and the clone's fit left it so
    fitted = pickle.loads(pickle.dumps(clone(preprocessor).fit(X)))
    np.testing.assert_array_equal(fitted.transform(X), expected)


@pytest.mark.usefixtures("forked_workers")
def test_in_a_search_over_a_pipeline_with_two_processes(X):
    X, y = pd.concat([X] * 5, ignore_index=True), ["no", "yes", "no", "yes"] * 5
    pipeline = make_pipeline(make_preprocessor(X), LogisticRegression(C=100))
    grid = {"columntransformer__numbers__simpleimputer__strategy": ["median", "mean"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ == 1.0
    np.testing.assert_array_equal(search.predict(X), y)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=2, max_size=8), st.floats(-1e9, 1e9))
def test_minmax_output_is_always_in_the_unit_box(numbers, new):
    X = pd.DataFrame({"number": pd.Series(numbers, dtype=float)})
    preprocessor = make_preprocessor(X).fit(X)
    out = np.vstack([preprocessor.transform(X), preprocessor.transform(pd.DataFrame({"number": [new]}))])
    assert ((out >= 0) & (out <= 1)).all()


def test_what_it_cannot_prepare_is_refused(X):
    with pytest.raises(TypeError, match=r"born \(datetime64"):
        make_preprocessor(X.assign(born=pd.Timestamp("2000-01-01")))
    with pytest.raises(TypeError, match="must be a DataFrame"):
        make_preprocessor(X.to_numpy())
    with pytest.raises(ValueError, match="Did you mean 'minmax'"):
        make_preprocessor(X, scale="min-max")


GAP = np.tile([True, False, False, True, False], 10)
VALUES = np.where(GAP, np.nan, np.tile([9.0, 1.0, 2.0, 9.0, 4.0], 10))


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"a": VALUES}, ["a", "a_missing"]),
        ({"a": pd.array([None, 1, 2, None, 4] * 10, dtype="Int64")}, ["a", "a_missing"]),
        ({"a": np.arange(50.0)}, ["a"]),
        ({"a": np.full(50, np.nan)}, ["a"]),
        # the same rows are missing in both: one mark
        ({"a": VALUES, "b": 2 * VALUES}, ["a", "b", "a_missing"]),
        ({"a": VALUES, "b": VALUES[::-1]}, ["a", "b", "a_missing", "b_missing"]),
        # in few rows it would be chance
        ({"a": VALUES[:10], "known": ~GAP[:10]}, ["a", "a_missing", "known_True"]),
        # another column tells it already, one way round or the other
        ({"a": VALUES, "known": np.where(GAP, "no", "yes")}, ["a", "known_yes"]),
        ({"a": VALUES, "known": ~GAP}, ["a", "known_True"]),
        ({"a": VALUES, "other": np.where(GAP[::-1], "no", "yes")}, ["a", "a_missing", "other_yes"]),
        ({"a": VALUES, "a_missing": np.arange(50)}, ["a", "a_missing", "a_missing_"]),
    ],
)
def test_a_gap_in_numbers_is_marked_once(columns, names):
    X = pd.DataFrame(columns)
    out = make_preprocessor(X).set_output(transform="pandas").fit_transform(X)
    assert list(out.columns) == names
    for column in X.select_dtypes("number"):
        mark = next((name for name in (f"{column}_missing_", f"{column}_missing") if name in out), None)
        if mark is not None and mark not in X and X[column].isna().any():
            np.testing.assert_array_equal(out[mark], X[column].isna())


def test_a_gap_that_fit_did_not_see_is_the_median_and_has_no_mark():
    X = pd.DataFrame({"a": [1.0, 2.0, 9.0], "b": [1.0, np.nan, 3.0]})
    preprocessor = make_preprocessor(X).fit(X)
    out = preprocessor.transform(pd.DataFrame({"a": [np.nan], "b": [np.nan]}))
    np.testing.assert_allclose(out, [[1 / 8, 0.5, 1]])


def test_without_the_mark_of_a_gap_a_model_cannot_know_what_it_tells():
    """The label is whether the number is there; its median would be any other row."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    X = pd.DataFrame({"a": np.where(y, np.nan, rng.normal(size=200))})
    assert make_pipeline(make_preprocessor(X), LogisticRegression(C=100)).fit(X, y).score(X, y) == 1


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_text_that_is_different_in_most_rows_is_named(dtype):
    X = pd.DataFrame({"id": [f"u{i}" for i in range(60)], "home": ["own", "rent"] * 30}).astype(dtype)
    with pytest.warns(DataWarning, match="'id' holds 60 different values in 60 rows") as told:
        make_preprocessor(X)
    assert len(told) == 1


def test_rare_categories_have_one_feature_together():
    X = pd.DataFrame({"job": ["a"] * 5 + ["b"] * 4 + ["c", "d", None], "home": ["own", "rent"] * 6})
    made = make_preprocessor(X, min_frequency=3).set_output(transform="pandas").fit(X)
    rows = pd.DataFrame({"job": ["a", "b", "c", "d", None, "never seen"], "home": ["own", "rent"] * 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of scikit-learn about the last
        found = made.transform(rows)
    assert list(found) == ["job_a", "job_b", "job_infrequent_sklearn", "home_rent"]
    np.testing.assert_array_equal(found["job_infrequent_sklearn"], [0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(found["job_a"], [1, 0, 0, 0, 0, 0])
    plain = make_preprocessor(X).fit(X)
    assert len(plain.get_feature_names_out()) == 6


def test_a_schema_takes_categories_of_some_columns_of_another_table():
    train = pd.DataFrame({"job": ["a", "b"], "home": ["own", "rent"], "age": [3, 4]})
    more = pd.DataFrame({"job": ["c", "a"], "home": ["tent", "own"], "age": [5, 9]})
    schema = TableSchema.of(train).with_levels_of(more, ["job", "age"])
    assert [one.levels for one in schema.columns] == [("a", "b", "c"), ("own", "rent"), ()]
    assert schema.columns[2] == TableSchema.of(train).columns[2]
    assert TableSchema.read(schema.to_json()) == schema

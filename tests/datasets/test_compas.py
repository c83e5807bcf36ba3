from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from robustxai.datasets import load_compas, make_preprocessor
from robustxai.datasets._compas import _SOURCE
from robustxai.exceptions import DataNotFoundError

from .conftest import stored_table, write

NEVER_FEATURES = {"is_recid", "two_year_recid", "decile_score", "score_text", "v_decile_score", "v_score_text"}


def test_rows_class_balance_and_columns_after_the_filter(data_home):
    bunch = load_compas(data_home=data_home)
    X = bunch.data
    assert X.shape == (6_172, 12)
    assert bunch.target.value_counts().to_dict() == {"no": 3_363, "yes": 2_809}
    assert bunch.target_names == ["no", "yes"]
    assert sum(is_numeric_dtype(X[column]) for column in X) == 8
    assert [column for column in X if isinstance(X[column].dtype, pd.CategoricalDtype)] == [
        "sex",
        "age_cat",
        "race",
        "c_charge_degree",
    ]
    assert not X.isna().any().any()
    assert X.index.equals(pd.RangeIndex(6_172))
    assert X["days_b_screening_arrest"].between(-30, 30).all()
    assert set(X["c_charge_degree"]) == {"F", "M"}


@pytest.mark.parametrize("include_charge", [False, True])
def test_no_column_gives_the_label_away(data_home, include_charge):
    X, y = load_compas(data_home=data_home, include_charge=include_charge, return_X_y=True)
    assert not NEVER_FEATURES & set(X.columns)
    assert ("c_charge_desc" in X.columns) is include_charge
    for column in X.select_dtypes("number"):
        assert 0.3 < roc_auc_score(y, X[column]) < 0.7, column


def test_a_linear_model_ranks_like_the_literature(data_home):
    X, y = load_compas(data_home=data_home, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    model = make_pipeline(make_preprocessor(X), LogisticRegression(max_iter=500)).fit(X, y)
    assert 0.68 < roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]) < 0.8


def propublica_table() -> pd.DataFrame:
    """The publisher's columns as far as they matter, with four rows that the filter removes."""
    table = stored_table(_SOURCE, 8).drop(columns="length_of_stay")
    table["days_b_screening_arrest"] = [-30, 30, 31, -31, np.nan, 0, 1, 2]
    table["is_recid"] = [0, 1, 0, 1, 0, -1, 0, 1]
    table["c_charge_degree"] = ["F", "M", "F", "M", "F", "M", "O", "M"]
    table["c_jail_in"] = "2013-08-13 06:03:42"
    table["c_jail_out"] = ["2013-08-14 05:41:20", "2013-08-13 23:59:59", *["2013-09-01 00:00:01"] * 6]
    table.loc[7, ["c_jail_in", "c_jail_out"]] = None
    return table.assign(decile_score=9, score_text="High", name="someone")


def test_the_publishers_file_is_read_filtered_and_stripped(tmp_path, empty_machine):
    path = write(propublica_table(), tmp_path / "compas-scores-two-years.csv")
    bunch = load_compas(data_home=tmp_path)
    assert bunch.filename == str(path)
    assert list(bunch.data["age"]) == [20, 21, 27]
    # calendar days, as in ProPublica's analysis: 23 hours across midnight are a day
    np.testing.assert_array_equal(bunch.data["length_of_stay"], [1, 0, np.nan])
    assert bunch.feature_names == [c for c in _SOURCE.features if c != "c_charge_desc"]


def test_a_publishers_file_without_the_dates_is_damaged(tmp_path, empty_machine):
    path = write(propublica_table().drop(columns="c_jail_out"), tmp_path / "compas-scores-two-years.csv")
    with pytest.raises(DataNotFoundError, match=r"not the published table .*c_jail_out") as caught:
        load_compas(data_home=tmp_path)
    assert str(path) in str(caught.value)

from __future__ import annotations

import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from robustxai.datasets import load_bank, make_preprocessor
from robustxai.datasets._bank import _SOURCE

from .conftest import stored_table, write


def test_rows_class_balance_and_columns(data_home):
    bunch = load_bank(data_home=data_home)
    X = bunch.data
    assert X.shape == (41_188, 20)
    assert bunch.target.value_counts().to_dict() == {"no": 36_548, "yes": 4_640}
    assert bunch.target_names == ["no", "yes"]
    assert not {"duration", "y"} & set(X.columns)
    assert sum(is_numeric_dtype(X[column]) for column in X) == 9
    assert sum(isinstance(dtype, pd.CategoricalDtype) for dtype in X.dtypes) == 11
    assert "shuffle" in bunch.DESCR


def test_unknown_is_missing(data_home):
    X = load_bank(data_home=data_home).data
    missing = X.drop(columns="pdays").isna().sum()
    assert missing[missing > 0].to_dict() == {
        "job": 330,
        "marital": 80,
        "education": 1_731,
        "default": 8_597,
        "housing": 990,
        "loan": 990,
    }


def test_never_called_before_is_a_flag_and_no_number(data_home):
    X = load_bank(data_home=data_home).data
    assert X["pdays"].isna().sum() == 39_673
    assert X["pdays"].max() == 27
    assert (X["pdays"].notna() == (X["pdays_known"] == "yes")).all()


def test_the_duration_of_the_call_only_on_request(data_home):
    X, y = load_bank(data_home=data_home, include_duration=True, return_X_y=True)
    assert X.shape == (41_188, 21)
    assert roc_auc_score(y, X["duration"]) > 0.8  # this is why it is left out


def test_a_linear_model_ranks_without_the_duration(data_home):
    X, y = load_bank(data_home=data_home, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    model = make_pipeline(make_preprocessor(X), LogisticRegression(max_iter=500)).fit(X, y)
    assert 0.75 < roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]) < 0.85


def test_the_publishers_file_is_read_as_it_is(tmp_path, empty_machine):
    path = write(stored_table(_SOURCE), tmp_path / "bank" / "bank-additional-full.csv", sep=";")
    bunch = load_bank(data_home=tmp_path)
    assert bunch.filename == str(path)
    assert bunch.data.shape == (12, 20)
    assert list(bunch.target[:2]) == ["no", "yes"]

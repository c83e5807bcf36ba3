from __future__ import annotations

import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from robustxai.datasets import load_adult, make_preprocessor

DICE_LEVELS = {
    "workclass": ["Government", "Other/Unknown", "Private", "Self-Employed"],
    "education": [
        "Assoc",
        "Bachelors",
        "Doctorate",
        "HS-grad",
        "Masters",
        "Prof-school",
        "School",
        "Some-college",
    ],
    "marital_status": ["Divorced", "Married", "Separated", "Single", "Widowed"],
    "occupation": ["Blue-Collar", "Other/Unknown", "Professional", "Sales", "Service", "White-Collar"],
    "race": ["Other", "White"],
    "gender": ["Female", "Male"],
}


@pytest.mark.parametrize(
    ("subset", "counts"),
    [
        ("all", {"<=50K": 37_155, ">50K": 11_687}),
        ("train", {"<=50K": 24_720, ">50K": 7_841}),
        ("test", {"<=50K": 12_435, ">50K": 3_846}),
    ],
)
def test_rows_and_class_balance_of_each_subset(data_home, subset, counts):
    bunch = load_adult(data_home=data_home, subset=subset)
    assert bunch.target.value_counts().to_dict() == counts
    assert len(bunch.data) == sum(counts.values())
    assert bunch.data.index.equals(pd.RangeIndex(len(bunch.data)))
    assert bunch.target_names == ["<=50K", ">50K"]


def test_columns_dtypes_and_missing_values(data_home):
    bunch = load_adult(data_home=data_home)
    X = bunch.data
    assert X.shape == (48_842, 13)
    assert bunch.feature_names == list(X.columns)
    assert not {"fnlwgt", "split", "income"} & set(X.columns)
    numbers = [column for column in X if is_numeric_dtype(X[column])]
    assert numbers == ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    assert all(isinstance(X[column].dtype, pd.CategoricalDtype) for column in X.columns.difference(numbers))
    missing = X.isna().sum()
    assert missing[missing > 0].to_dict() == {"workclass": 2_799, "occupation": 2_809, "native-country": 857}
    assert not any("?" in X[column].cat.categories for column in X.columns.difference(numbers))
    assert "fnlwgt" in bunch.DESCR


def test_X_y_is_the_same_table(data_home):
    bunch = load_adult(data_home=data_home, subset="test")
    X, y = load_adult(data_home=data_home, subset="test", return_X_y=True)
    pd.testing.assert_frame_equal(X, bunch.data)
    pd.testing.assert_series_equal(y, bunch.target)
    pd.testing.assert_frame_equal(bunch.frame, X.assign(income=y))


def test_the_dice_form_has_the_levels_of_the_paper(data_home):
    X = load_adult(data_home=data_home, columns="dice").data
    assert list(X.columns) == [
        "age",
        "workclass",
        "education",
        "marital_status",
        "occupation",
        "race",
        "gender",
        "hours_per_week",
    ]
    assert {column: list(X[column].cat.categories) for column in DICE_LEVELS} == DICE_LEVELS
    assert not X.isna().any().any()
    assert pd.get_dummies(X).shape[1] == 29
    assert make_preprocessor(X).fit_transform(X).shape[1] == 27


def test_the_dice_form_joins_levels_row_by_row(data_home):
    raw = load_adult(data_home=data_home).data
    dice = load_adult(data_home=data_home, columns="dice").data
    assert (dice["age"] == raw["age"]).all()
    unknown = raw["workclass"].isna() | raw["workclass"].isin(["Without-pay", "Never-worked"])
    assert ((dice["workclass"] == "Other/Unknown") == unknown).all()
    assert ((dice["education"] == "School") == (raw["education-num"] <= 8)).all()
    married = raw["marital-status"].astype(str).str.startswith("Married")
    assert ((dice["marital_status"] == "Married") == married).all()
    assert ((dice["race"] == "White") == (raw["race"] == "White")).all()
    assert ((dice["occupation"] == "Sales") == (raw["occupation"] == "Sales")).all()


def test_training_and_test_part_know_the_same_levels(data_home):
    train = load_adult(data_home=data_home, subset="train").data
    test = load_adult(data_home=data_home, subset="test").data
    assert (train.dtypes == test.dtypes).all()


def test_a_linear_model_on_the_dice_form_ranks_well(data_home):
    X, y = load_adult(data_home=data_home, subset="train", columns="dice", return_X_y=True)
    X_test, y_test = load_adult(data_home=data_home, subset="test", columns="dice", return_X_y=True)
    model = make_pipeline(make_preprocessor(X), LogisticRegression(max_iter=500)).fit(X, y)
    assert list(model.classes_) == ["<=50K", ">50K"]
    assert roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]) > 0.85


@pytest.mark.parametrize("arguments", [{"subset": "tset"}, {"columns": "dcie"}])
def test_unknown_choices_are_refused_with_the_nearest_name(arguments):
    with pytest.raises(ValueError, match=r"Did you mean '(test|dice)'"):
        load_adult(**arguments)

from __future__ import annotations

import gzip

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from robustxai.datasets import load_table, make_preprocessor
from robustxai.exceptions import DataNotFoundError

CSV = "income,home,owner,paid\n31,rent,True,yes\n,own,False,no\n70,,True,yes\n12,rent,True,no\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "loans.csv"
    path.write_text(CSV)
    return path


def test_the_last_column_is_the_label(path):
    bunch = load_table(path)
    assert bunch.feature_names == ["income", "home", "owner"]
    assert list(bunch.target) == ["yes", "no", "yes", "no"]
    assert bunch.target_names == ["no", "yes"]
    assert bunch.filename == str(path)
    assert bunch.data["income"].isna().sum() == bunch.data["home"].isna().sum() == 1
    assert bunch.data["income"].dtype == "float64"
    assert bunch.data["owner"].dtype == "bool"
    assert isinstance(bunch.data["home"].dtype, pd.CategoricalDtype)


def test_a_named_label_may_stand_anywhere(path):
    X, y = load_table(str(path), "owner", return_X_y=True)
    assert list(X.columns) == ["income", "home", "paid"]
    assert list(y) == [True, False, True, True]
    assert load_table(path, "owner").target_names == [False, True]


def test_a_compressed_table_is_the_same_table(path, tmp_path):
    compressed = tmp_path / "loans.csv.gz"
    compressed.write_bytes(gzip.compress(CSV.encode()))
    pd.testing.assert_frame_equal(load_table(compressed).frame, load_table(path).frame)


def test_it_goes_through_the_preprocessor_into_a_classifier(path):
    X, y = load_table(path, return_X_y=True)
    model = make_pipeline(make_preprocessor(X), LogisticRegression(C=1e4)).fit(X, y)
    assert list(model.predict(X)) == list(y)


def test_an_unknown_label_column_gets_the_nearest_name(path):
    with pytest.raises(ValueError, match=r"no column 'payd'\. Did you mean 'paid'\?"):
        load_table(path, "payd")


def test_rows_without_a_label_are_counted(path):
    with pytest.raises(ValueError, match="1 of 4 rows have no label in 'home'"):
        load_table(path, "home")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"a,b\n", "no rows"),
        (b"a\n1\n2\n", "single column"),
        (b"a,b\n1,2,3\n4,5,6\n", "more fields than its header"),
        (b"a,b\n0,2,3\n1,5,6\n", "more fields than its header"),
        (b"a,b\n1,2\n1,2,3,4\n", "cannot be read"),
        (b"PK\x03\x04\x00\x01", "a workbook of a spreadsheet program"),
    ],
)
def test_a_file_that_is_no_table_is_named_and_explained(tmp_path, content, reason):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(DataNotFoundError, match=reason) as caught:
        load_table(path)
    assert str(path) in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_no_file_or_a_folder(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"no file .*nothing\.csv"):
        load_table(tmp_path / "nothing.csv")
    with pytest.raises(DataNotFoundError, match="no file"):
        load_table(tmp_path)

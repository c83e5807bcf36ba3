import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from robustxai.datasets import load_table
from robustxai.exceptions import TableError

N = 60
TABLE = pd.DataFrame(
    {
        "whole": np.arange(N) % 7,
        "gaps": pd.array([None if i % 5 == 0 else i for i in range(N)], dtype="Int64"),
        "part": np.linspace(0, 1, N) ** 3,
        "word": ["a", "b", None] * (N // 3),
        "flag": [True, False] * (N // 2),
        "day": [datetime.date(2020, 1, 1 + i % 28) for i in range(N)],
        "time": pd.date_range("2020-01-01", periods=N, freq="7h"),
        "price": [decimal.Decimal(i % 9) / 4 for i in range(N)],
        "label": ["x", "y"] * (N // 2),
    }
)


def test_a_parquet_file_is_the_table_of_its_csv_file(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    TABLE.to_parquet(tmp_path / "no ending")
    expected, found = (load_table(tmp_path / name, return_X_y=True) for name in ("t.csv", "no ending"))
    pd.testing.assert_frame_equal(found[0], expected[0], rtol=0)
    pd.testing.assert_series_equal(found[1], expected[1])


def test_texts_of_digits_are_categories_and_a_named_index_is_a_column(tmp_path):
    table = TABLE[["whole", "label"]].assign(zip=[f"0{i % 3}" for i in range(N)]).set_index("zip")
    table.to_parquet(tmp_path / "t.parquet")
    X, _ = load_table(tmp_path / "t.parquet", "label", return_X_y=True)
    assert list(X) == ["zip", "whole"]
    assert X["zip"].cat.categories.tolist() == ["00", "01", "02"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.assign(whole=[[1, 2]] * N), "'whole' holds ndarray entries, which are no single values.*--drop whole"),
        (TABLE.assign(part=np.inf), "infinite number, 'inf'"),
        (TABLE[:0], "has no rows"),
        (TABLE[["label"]], "has 1 column, and a label alone"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, table, message):
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match=message):
        load_table(tmp_path / "t.parquet", "label")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    TABLE.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'robustxai\[parquet\]'"):
        load_table(tmp_path / "t.parquet")

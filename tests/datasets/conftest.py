"""Where the real data are, and tables in the form of the stored files for the tests that need none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustxai.datasets._base import Source


@pytest.fixture(scope="session")
def data_home() -> Path:
    """The folder with the real data; skips where there is none."""
    beside_the_checkout = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    home = Path(os.environ.get("ROBUSTXAI_DATA") or beside_the_checkout)
    if not (home / "adult" / "adult.csv.gz").is_file():
        pytest.skip("needs the real data: set ROBUSTXAI_DATA to the folder that holds adult/adult.csv.gz")
    return home


@pytest.fixture
def empty_machine(tmp_path, monkeypatch) -> Path:
    """No data anywhere and no network; returns the (still absent) cache folder."""

    def no_network(**_):
        raise OSError("no network in the tests")

    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("robustxai.datasets._base.fetch_openml", no_network)
    return tmp_path / "cache" / "robustxai"


def stored_table(source: Source, n_rows: int = 12, first_number: int = 20) -> pd.DataFrame:
    """A table that passes for the stored file of `source`."""
    table = {column: [f"{column}{row % 2}" for row in range(n_rows)] for column in source.columns}
    table |= {column: np.arange(n_rows) + first_number for column in source.numeric}
    table[source.target] = [source.labels[row % 2] for row in range(n_rows)]
    return pd.DataFrame(table)


def write(table: pd.DataFrame, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, **options)
    return path

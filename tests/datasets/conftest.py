"""Where the real data are, and tables and arrays in the form of the stored files for the tests that need none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustxai.datasets._array_source import ArraySource
from robustxai.datasets._table_source import TableSource


@pytest.fixture(scope="session")
def data_home() -> Path:
    """The folder with the real data; skips where there is none."""
    beside_the_checkout = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    home = Path(os.environ.get("ROBUSTXAI_DATA") or beside_the_checkout)
    if not (home / "adult" / "adult.csv.gz").is_file():
        pytest.skip("needs the real data: set ROBUSTXAI_DATA to the folder that holds adult/adult.csv.gz")
    return home


@pytest.fixture(scope="session")
def real_arrays(data_home) -> Callable[[str], dict[str, np.ndarray]]:
    """Reads a stored archive without the library; skips where it is not."""

    def read(name: str) -> dict[str, np.ndarray]:
        path = data_home / name / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"needs the real data: there is no {path}")
        with np.load(path) as archive:
            return dict(archive)

    return read


@pytest.fixture
def empty_machine(tmp_path, monkeypatch) -> Path:
    """No data anywhere and no network; returns the (still absent) cache folder."""

    def no_network(**_):
        raise OSError("no network in the tests")

    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("robustxai.datasets._base.fetch_openml", no_network)
    return tmp_path / "cache" / "robustxai"


def stored_table(source: TableSource, n_rows: int = 12, first_number: int = 20) -> pd.DataFrame:
    """A table that passes for the stored file of `source`."""
    table = {column: [f"{column}{row % 2}" for row in range(n_rows)] for column in source.columns}
    table |= {column: np.arange(n_rows) + first_number for column in source.numeric}
    table[source.target] = [source.labels[row % 2] for row in range(n_rows)]
    return pd.DataFrame(table)


def write(table: pd.DataFrame, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, **options)
    return path


def stored_arrays(source: ArraySource, n_rows: int = 40) -> dict[str, np.ndarray]:
    """Arrays that pass for the stored file of `source`, with labels in turns."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, spec in source.arrays.items():
        shape = [size if isinstance(size, int) else n_rows for size in spec.shape]
        if spec.n_values:
            arrays[name] = np.arange(n_rows) % spec.n_values
        elif spec.dtype is np.str_:
            arrays[name] = np.array(["here", "there"])[np.arange(n_rows) % 2]
        elif spec.dtype is np.uint8:
            arrays[name] = rng.integers(0, 256, shape, dtype=np.uint8)
        else:
            values = rng.uniform(-1, 1, shape).astype(np.float32)
            arrays[name] = values + values.swapaxes(1, 2)
    return arrays


def save(arrays: dict[str, np.ndarray], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path

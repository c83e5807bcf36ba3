import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from robustxai import SoftplusClassifier
from robustxai.datasets import make_preprocessor


@pytest.fixture(scope="package")
def table():
    """Return a number, an amount with a gap, and categories."""
    r = np.random.default_rng(0)
    X = pd.DataFrame({"age": r.integers(18, 81, 60), "home": r.choice(["own", "rent"], 60), "debt": r.normal(size=60)})
    X.loc[3, "debt"] = np.nan
    return X, np.where(X["age"] - 20 * (X["home"] == "own") > 40, "yes", "no")


@pytest.fixture(scope="package")
def pipe(table):
    X, y = table
    return make_pipeline(make_preprocessor(X), SoftplusClassifier(module__hidden=(8,), max_epochs=5)).fit(X, y)


@pytest.fixture(scope="package")
def features(table, pipe):
    return pipe[:-1].transform(table[0])


@pytest.fixture(scope="package")
def clf(pipe):
    return pipe[-1]

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from robustxai import SoftplusClassifier
from robustxai.audit import _rivals, audit
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor

HOSTILE = {"age": "<img src=x onerror=alert(1)>", "home": "=cmd()", "debts": "| a |", "job": "**b** [x](http://y.z)"}


def table(n=160):
    """Two whole numbers, an amount with gaps, and two columns of categories."""
    r = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": r.integers(18, 81, n),
            "home": r.choice(["own", "rent", "free"], n),
            "debts": r.integers(0, 12, n),
            "income": r.lognormal(10, 0.5, n).round(2)[r.integers(0, 20, n)],
            "job": r.choice(["a", "b"], n),
        }
    )
    X.loc[::9, "income"] = np.nan
    score = X["age"] / 20 - X["debts"] / 4 + (X["home"] == "own") - X["debts"] / 8 * (X["job"] == "b")
    return X, np.where(score + r.normal(0, 0.3, n) > score.median(), "paid", "defaulted")


def fitted(X, y):
    return make_pipeline(make_preprocessor(X), SoftplusClassifier(module__hidden=(8,), max_epochs=20)).fit(X, y)


@pytest.fixture(scope="package", autouse=True)
def few_epochs():
    """Rivals that are trained for a moment: what is looked at is what is said of them."""
    with pytest.MonkeyPatch.context() as patch:
        short = {
            "logistic regression": _rivals.RIVALS["logistic regression"],
            "R2ET": lambda *given: _rivals_r2et(*given).set_params(max_epochs=3),
        }
        _rivals_r2et = _rivals.RIVALS["R2ET"]
        patch.setattr(_rivals, "RIVALS", short)
        yield


@pytest.fixture(scope="package")
def data():
    return table()


@pytest.fixture(scope="package")
def pipe(data):
    return fitted(*data)


@pytest.fixture(scope="package")
def threat(data):
    return TableThreat.from_frame(data[0], budgets={"age": 6, "debts": 2}, immutable=["job", "income"])


@pytest.fixture(scope="package")
def result(data, pipe, threat):
    X, y = data
    return audit(
        pipe, X, y, k=2, threat=threat, groups=["job", "age"], n_rows=14, n_compared=8, shares=(0.5,), n_draws=6,
        n_examples=4,
    )  # fmt: skip


@pytest.fixture(scope="package")
def hostile():
    """The result of an audit of a table whose names and values are markup."""
    X, y = table(60)
    X = X.drop(columns="income").rename(columns=HOSTILE)
    X[HOSTILE["home"]] = X[HOSTILE["home"]].map({"own": "<script>x</script>", "rent": "a|b\n# c", "free": '"`&amp;'})
    return audit(fitted(X, y), X, y, k=2, groups=[HOSTILE["job"]], n_rows=8, n_compared=0, n_draws=3)

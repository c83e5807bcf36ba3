import json

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
from sklearn.pipeline import make_pipeline

from robustxai import R2ETClassifier, load, save
from robustxai.datasets import make_preprocessor


@pytest.fixture(scope="session")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=60), "home": rng.choice(["own", "rent"], 60)})
    return X, np.where(X["a"] + (X["home"] == "own") > 0.5, "good", "bad")


@pytest.fixture(scope="session")
def pipe(table):
    X, y = table
    return make_pipeline(make_preprocessor(X), R2ETClassifier(k=1, max_epochs=2, module__hidden=(4,))).fit(X, y)


@pytest.fixture(scope="session")
def rows(table, pipe):
    return pipe[:-1].transform(table[0])


@pytest.fixture
def again(tmp_path):
    """Return a function that saves a model and loads it."""

    def call(model, **options):
        save(model, tmp_path / "model.safetensors")
        return load(tmp_path / "model.safetensors", **options)

    return call


def taken_apart(content):
    """Return the metadata and the tensors of a file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end])["__metadata__"], safetensors.torch.load(content)

import copy
import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from robustxai.columns import ColumnMap, TableRows, TableThreat, _map, column_map

X = pd.DataFrame({"age": [20.0, 40.0, 60.0, 30.0], "debt": [1.0, 5.0, 2.0, 2.0], "home": ["own", "rent", "own", "own"]})


class Shifted:
    """A transformer that is no estimator of scikit-learn."""

    def fit(self, X, y=None):
        self.scaler = StandardScaler().fit(X)
        return self

    def transform(self, X):
        return self.scaler.transform(X)

    def get_feature_names_out(self, names=None):
        return np.asarray(names)


def pipeline():
    scaled = make_pipeline(StandardScaler(), MinMaxScaler())
    return make_pipeline(
        make_column_transformer((scaled, ["age", "debt"]), (OneHotEncoder(), ["home"])), FunctionTransformer(None)
    ).fit(X)


@pytest.fixture
def walks(monkeypatch):
    """Count the walks through whole pipelines."""
    seen = []
    walk = _map.walk
    monkeypatch.setattr(_map, "walk", lambda step, *rest: seen.append(step) or walk(step, *rest))
    return seen


def units(estimator):
    return [(record.name, record.unit, record.category) for record in column_map(estimator).records]


def test_steps_are_followed_once_while_they_stay_as_they_are(walks):
    pipe = pipeline()
    first = units(pipe)
    n = len(walks)
    assert n == 2
    assert units(pipe) == first
    assert len(walks) == n


@pytest.mark.parametrize(
    "change",
    [
        lambda pipe: pipe.fit(X.assign(age=X["age"] * 3)),
        lambda pipe: pipe.fit(X.assign(home=["flat", "rent", "own", "own"])),
        lambda pipe: pipe[0].fit(X.assign(age=X["age"] * 3)),
        lambda pipe: pipe[0].transformers_[0][1].fit(X[["age", "debt"]] * 3),
        lambda pipe: pipe[0].transformers_[0][1][1].fit(X[["age", "debt"]].to_numpy() * 3),
        lambda pipe: pipe[0].transformers_[0][1][1].scale_.__imul__(2),
        lambda pipe: pipe[0].transformers_[1][1].categories_[0].__setitem__(0, "villa"),
    ],
    ids=["fit", "categories", "fit inside", "fit deeper", "fit deepest", "array in place", "category in place"],
)
def test_what_changes_in_a_pipeline_is_followed_again(change):
    pipe = pipeline()
    before = units(pipe)
    change(pipe)
    assert units(pipe) != before
    assert units(pipe) == units(copy.deepcopy(pipe))


def test_steps_that_are_no_estimators_are_followed_again_after_a_fit():
    pipe = make_pipeline(FunctionTransformer(None), Shifted()).fit(X[["age", "debt"]])
    before = [(record.unit, record.column) for record in column_map(pipe).records]
    pipe.fit(X[["age", "debt"]] * 3)
    after = column_map(pipe)
    assert [(record.unit, record.column) for record in after.records] == [
        (record.unit, record.column) for record in column_map(copy.deepcopy(pipe)).records
    ]
    assert len(before) == len(after.records)


def test_a_pipeline_is_not_kept_alive():
    pipe = pipeline()
    column_map(pipe)
    first = weakref.ref(pipe[0])
    del pipe
    gc.collect()
    assert first() is None


def test_categories_are_transformed_once_and_again_after_a_fit(monkeypatch):
    transforms = []
    transform = ColumnMap.transform
    monkeypatch.setattr(
        ColumnMap, "transform", lambda self, rows: transforms.append(len(rows)) or transform(self, rows)
    )

    def switched(pipe, frame=X):
        """Features of the first row with every other category, and the number of transforms."""
        transforms.clear()
        threat = TableThreat.from_frame(frame, max_switches=1)
        columns = column_map(pipe)
        rows = TableRows(threat, frame[:2], columns, x=np.asarray(pipe.transform(frame[:2])))
        boxes = rows.boxes(np.array([0]))
        for number, switch in enumerate(rows.switches(boxes.start)):
            expected = pipe.transform(frame[:1].assign(**{name: [level] for name, level in switch.items()}))
            np.testing.assert_allclose(rows.features(boxes.start)[number], np.asarray(expected)[0])
        return len(transforms)

    pipe = pipeline()
    assert [switched(pipe), switched(pipe)] == [1, 0]
    pipe.fit(X.assign(home=["own", "rent", "villa", "villa"]))
    assert [switched(pipe, X[:2]), switched(pipe, X[:2])] == [1, 0]
    pipe.fit(X)
    assert switched(pipe) == 1

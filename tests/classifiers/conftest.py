import functools

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ARTClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    LargeStepClassifier,
    LinearClassifier,
    MapDiscrepancyClassifier,
    MARTClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    TRADESClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
)

#: Every public classifier, with what makes it quick on a table of four columns.
CLASSIFIERS = [
    VanillaClassifier,
    WeightDecayClassifier,
    SoftplusClassifier,
    EstimatedHessianClassifier,
    R2ETClassifier,
    LinearClassifier,
    ExactHessianClassifier,
    SSRClassifier,
    CrossLipschitzClassifier,
    ExplanationATClassifier,
    AdversarialTrainingClassifier,
    ATEXClassifier,
    IGNormClassifier,
    CertifiedR2ETClassifier,
    TRADESClassifier,
    MARTClassifier,
    AttributionContrastClassifier,
    LargeStepClassifier,
    FARClassifier,
    IGRClassifier,
    ARTClassifier,
    MapDiscrepancyClassifier,
]
#: Those with a top set.
WITH_K = (R2ETClassifier, CertifiedR2ETClassifier, CrossLipschitzClassifier, ExplanationATClassifier, ARTClassifier)
#: What spares the repeated products and copies of a training step where the contract is all that is looked at.
QUICK = {
    ATEXClassifier: {"n_along": 1, "n_across": 1},
    CrossLipschitzClassifier: {"n_pairs": 1},
    ExactHessianClassifier: {"n_draws": 1},
    IGNormClassifier: {"n_points": 2, "n_attack_points": 1, "max_iter": 1},
    CertifiedR2ETClassifier: {"n_rows": 4, "n_bounds": 2, "warm_up_epochs": 1},
    TRADESClassifier: {"max_iter": 1},
    MARTClassifier: {"max_iter": 1},
    AttributionContrastClassifier: {"n_points": 2, "n_attack_points": 1, "max_iter": 1},
    LargeStepClassifier: {"lr": 0.1},
    FARClassifier: {"n_points": 2, "n_attack_points": 1, "max_iter": 1},
    IGRClassifier: {"n_points": 2, "max_iter": 1},
    ARTClassifier: {"max_iter": 1},
    MapDiscrepancyClassifier: {"n_points": 2, "n_attack_points": 1, "max_iter": 1},
}
#: What spares the ascents and the points of integrated gradients in the common tests. The bits of an explanation by
#: integrated gradients depend on the rows beside it, so that the contract is checked with gradients.
CHEAP = {
    cls: {**QUICK[cls], **({} if cls is ARTClassifier else {"explainer": "gradient"})}
    for cls in (FARClassifier, IGRClassifier, ARTClassifier, MapDiscrepancyClassifier)
}
SMALL = {"max_epochs": 1, "batch_size": 32}


def small(cls, **params):
    """A quick instance of a public classifier."""
    options = dict(SMALL)
    if cls is not LinearClassifier:
        options["module__hidden"] = (8,)
    if cls in WITH_K:
        options["k"] = 2
    return cls(**{**options, **CHEAP.get(cls, {}), **params})


@functools.cache
def iris():
    """Iris, standardized: 150 rows, 4 columns, 3 classes, in an order that mixes them."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return StandardScaler().fit_transform(X)[order], y[order]


@pytest.fixture(params=CLASSIFIERS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


@pytest.fixture(scope="session")
def data():
    return iris()


# per module, because a module may have a `data` of its own
@pytest.fixture(scope="module")
def binary(data):
    X, y = data
    return X, (y == 2).astype(int)


@pytest.fixture(scope="module")
def frame(data):
    X, y = data
    columns = ["sepal length", "sepal width", "petal length", "petal width"]
    return pd.DataFrame(X, columns=columns, index=[f"flower {i}" for i in range(len(X))]), y

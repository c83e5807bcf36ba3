"""Small measurements that the pages quote: ``python -m tests.docs.measure linear datasets``.

Each name writes ``docs/results/<name>.csv``. Seconds for ``linear``, minutes for the others, which need the data sets
(docs/datasets.md).
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from robustxai import LinearClassifier
from robustxai._files import write_csv
from robustxai.attacks import RandomAttack
from robustxai.datasets import (
    load_abide,
    load_adult,
    load_bank,
    load_cifar10,
    load_compas,
    load_fashion_mnist,
    load_mnist,
    make_preprocessor,
)
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients
from robustxai.perturbation import ThreatModel

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SEEDS = range(5)


def linear():
    """P@k of logistic regression under 100 random directions of radius 0.5, features in [0, 1], prediction kept."""
    explainers = {
        "gradient": Gradient(),
        "gradient_times_input": GradientTimesInput(),
        "integrated_gradients": IntegratedGradients(),
    }
    loaders = {"breast_cancer": (load_breast_cancer, 8), "iris": (load_iris, 2), "wine": (load_wine, 4)}
    loaders |= {"digits": (load_digits, 8)}
    for data, (load, k) in loaders.items():
        X, y = load(return_X_y=True)
        for name, explainer in explainers.items():
            for seed in SEEDS:
                X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)
                scaler = MinMaxScaler(clip=True).fit(X_train)
                X_test = scaler.transform(X_test)[:200]
                clf = LinearClassifier(explainer=explainer).fit(scaler.transform(X_train), y_train)
                threat = ThreatModel(epsilon=0.5, bounds=(0, 1))
                attack = RandomAttack(clf, k=k, threat=threat, max_iter=100, random_state=seed)
                yield {
                    "data": data,
                    "n_classes": len(np.unique(y)),
                    "explainer": name,
                    "k": k,
                    "seed": seed,
                    "n_rows": len(X_test),
                    "accuracy": clf.score(X_test, y_test[: len(X_test)]),
                    "precision_at_k_random": attack.run(X_test).precision_at_k.mean(),
                }


def datasets():
    """Linear models: AUC on tables, accuracy on images and graphs, as docs/datasets.md says how."""
    tables = {
        "adult_dice": lambda: load_adult(columns="dice", return_X_y=True),
        "adult": lambda: load_adult(return_X_y=True),
        "bank": lambda: load_bank(return_X_y=True),
        "compas": lambda: load_compas(return_X_y=True),
    }
    for name, load in tables.items():
        X, y = load()
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
        preprocessor = make_preprocessor(X_train).fit(X_train)
        X_train, X_test = np.asarray(preprocessor.transform(X_train)), np.asarray(preprocessor.transform(X_test))
        model = LogisticRegression(max_iter=1000).fit(X_train, y_train)
        yield {"name": f"{name}_rows", "value": len(X)}
        yield {"name": f"{name}_columns", "value": X.shape[1]}
        yield {"name": f"{name}_features", "value": make_preprocessor(X).fit(X).transform(X).shape[1]}
        yield {"name": f"{name}_auc", "value": roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])}
    images = {
        "mnist": (load_mnist, {}),
        "fashion_mnist": (load_fashion_mnist, {}),
        "cifar10": (load_cifar10, {}),
        "cifar10_two": (load_cifar10, {"classes": ["ship", "deer"]}),
    }
    for name, (load, options) in images.items():
        parts = {part: load(subset=part, return_X_y=True, **options) for part in ("train", "test")}
        X, y = load(n_rows=2000, random_state=0, return_X_y=True, **options)
        X_test, y_test = load(subset="test", n_rows=1000, random_state=0, return_X_y=True, **options)
        model = LogisticRegression(max_iter=1000).fit(X.reshape(len(X), -1), y)
        yield {"name": f"{name}_train", "value": len(parts["train"][0])}
        yield {"name": f"{name}_test", "value": len(parts["test"][0])}
        yield {"name": f"{name}_accuracy", "value": model.score(X_test.reshape(len(X_test), -1), y_test)}
    for name, options in {"abide": {}, "abide_multisite": {"site": "multisite"}}.items():
        X, y = load_abide(return_X_y=True, **options)
        upper = np.triu_indices(X.shape[-1], 1)
        flat = X.reshape(-1, *X.shape[-2:])[:, upper[0], upper[1]]
        scores = [
            cross_val_score(
                SVC(kernel="linear"), flat, y, cv=StratifiedKFold(10, shuffle=True, random_state=seed)
            ).mean()
            for seed in range(2)
        ]
        yield {"name": f"{name}_graphs", "value": len(y)}
        yield {"name": f"{name}_nodes", "value": X.shape[-1]}
        yield {"name": f"{name}_positive", "value": int(np.sum(y))}
        yield {"name": f"{name}_accuracy", "value": np.mean(scores)}
        yield {"name": f"{name}_larger_class", "value": max(np.mean(y), 1 - np.mean(y))}


MEASUREMENTS = {"linear": linear, "datasets": datasets}


def main(names):
    warnings.simplefilter("ignore")
    for name in names:
        table = pd.DataFrame(MEASUREMENTS[name]())
        write_csv(table, RESULTS / f"{name}.csv")
        print(f"{name}.csv: {len(table)} rows")


if __name__ == "__main__":
    main(sys.argv[1:] or MEASUREMENTS)

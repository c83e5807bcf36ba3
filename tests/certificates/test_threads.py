"""Certificates in threads are the serial ones to the bit, while another thread calls a network of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import minmax_scale
from torch import nn

from robustxai import SoftplusClassifier, VanillaClassifier
from robustxai.certificates import certified_radius, certify_smoothed_top_k, certify_top_k, curvature_bound

N_THREADS = 8


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True)
    return minmax_scale(X).astype(np.float32), y


@pytest.fixture(scope="module")
def victims(data):
    own = nn.Sequential(nn.Linear(30, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    return [
        SoftplusClassifier(max_epochs=3).fit(*data),
        VanillaClassifier(max_epochs=3, module__hidden=(16,), module__activation="tanh").fit(*data),
        VanillaClassifier(max_epochs=3, module=own).fit(*data),
    ]


ASKED = {
    "proof": lambda clf, X: certify_top_k(clf, X, k=4, epsilon=0.05).n_proven_pairs,
    "maximum norm": lambda clf, X: certify_top_k(clf, X, k=4, epsilon=0.01, norm="inf").precision_at_k,
    "radius": lambda clf, X: certified_radius(clf, X[:2], k=4, max_iter=3),
    "smoothed": lambda clf, X: certify_smoothed_top_k(clf, X[:2], k=4, n_draws=50).radius,
    "curvature": lambda clf, X: np.asarray(curvature_bound(clf)),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.filterwarnings("ignore")
def test_eight_threads(name, victims, data):
    ask, X = ASKED[name], data[0][:12]
    expected = [ask(clf, X) for clf in victims]
    stranger, rows = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(8, 4)
    usual, errors, done = stranger(rows), [], threading.Event()

    def call_a_stranger():
        while not done.wait(1e-4):
            try:
                if not torch.equal(stranger(rows), usual):
                    errors.append("another result")
            except Exception as error:
                errors.append(error)

    other = threading.Thread(target=call_a_stranger)
    other.start()
    try:
        with ThreadPoolExecutor(N_THREADS) as pool:
            tasks = [pool.submit(ask, victims[i % 3], X) for i in range(2 * N_THREADS)]
            found = [task.result() for task in tasks]
    finally:
        done.set()
        other.join()
    assert errors == []
    for i, values in enumerate(found):
        np.testing.assert_array_equal(values, expected[i % 3])

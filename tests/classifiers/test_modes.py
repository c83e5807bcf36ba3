"""What users do to a fitted network between calls changes no prediction, explanation, attack, metric or proof."""

import copy
import os
import signal
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from robustxai import VanillaClassifier
from robustxai.attacks import ERAttack, RandomAttack
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.metrics import comprehensiveness, hessian_norm, ranking_thickness

X, y = load_iris(return_X_y=True)
ROWS = X[:12]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Softplus(), nn.Dropout(0.5), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def fitted():
    return VanillaClassifier(module=network(), max_epochs=3).fit(X, y)


def one_layer(clf):
    clf.net_.module_[3].train()


def through_a_name(clf):
    held = clf.module_
    held.train()


def skorch_predicts(clf):
    clf.net_.module_.train()
    clf.net_.predict_proba(X.astype(np.float32)[:3])
    clf.net_.module_[1].train()


def training_step(clf):
    """A pass of skorch in training mode whose update is taken back."""
    before = copy.deepcopy(clf.net_.module_.state_dict())
    clf.net_.train_step((torch.tensor(X[:30], dtype=torch.float32), torch.tensor(y[:30])))
    clf.net_.module_.load_state_dict(before)
    clf.net_.module_.train()


DONE = {
    "train": lambda clf: clf.net_.module_.train(),
    "train, by module_": lambda clf: clf.module_.train(),
    "one layer": one_layer,
    "held": through_a_name,
    "skorch": skorch_predicts,
    "a training step": training_step,
    "frozen": lambda clf: clf.net_.module_.requires_grad_(False),
    "gradients left behind": lambda clf: clf.module_(torch.tensor(ROWS, dtype=torch.float32)).sum().backward(),
}

ASKED = {
    "predict_proba": lambda clf: clf.predict_proba(ROWS),
    "explain": lambda clf: clf.explain(ROWS),
    "explain by a callable": lambda clf: clf.explain(ROWS, explainer=slope),
    "attack": lambda clf: ERAttack(clf, k=2, max_iter=3).run(ROWS).X_adv,
    "random attack": lambda clf: RandomAttack(clf, k=2, max_iter=3).run(ROWS).precision_at_k,
    "certificate": lambda clf: certify_top_k(clf, ROWS, k=2, epsilon=0.05).n_proven_pairs,
    "radius": lambda clf: certified_radius(clf, ROWS[:3], k=2, max_iter=4),
    "thickness": lambda clf: ranking_thickness(clf, ROWS, k=2, n_draws=4),
    "hessian": lambda clf: hessian_norm(clf, ROWS),
    "faithfulness": lambda clf: comprehensiveness(clf, ROWS, clf.explain(ROWS)),
}


def slope(module, x, target, *, logits=None, create_graph=False):
    logits = module(x) if logits is None else logits
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), x, create_graph=create_graph)
    return gradient


@pytest.fixture(scope="module")
def expected(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: ask(fitted) for name, ask in ASKED.items()}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("kind", DONE)
@pytest.mark.filterwarnings("ignore")
def test_the_answer_is_that_of_evaluation_mode(kind, name, fitted, expected):
    clf = copy.deepcopy(fitted)
    DONE[kind](clf)
    np.testing.assert_array_equal(ASKED[name](clf), expected[name])


@pytest.mark.filterwarnings("ignore")
def test_other_types_of_weights(fitted, expected):
    clf = copy.deepcopy(fitted)
    clf.module_.double()
    for name in ASKED:
        np.testing.assert_allclose(ASKED[name](clf), expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_copy_in_training_mode(fitted, expected):
    clf = copy.deepcopy(fitted)
    clf.net_.module_.train()
    np.testing.assert_array_equal(copy.deepcopy(clf).predict_proba(ROWS), expected["predict_proba"])


def test_a_row_alone_is_the_row_in_company(fitted, expected):
    for name in ("predict_proba", "explain"):
        alone = np.concatenate([getattr(fitted, name)(ROWS[i : i + 1]) for i in range(len(ROWS))])
        np.testing.assert_allclose(alone, expected[name], rtol=1e-6, atol=1e-9)


def exit_code(child, seconds=120):
    """Wait for a child, and kill it if it hangs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore")
def test_a_fork_after_a_training_on_two_threads_computes():
    """The child has none of its parent's threads, for which the runtime of OpenMP would wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        many = np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float32)
        model = VanillaClassifier(max_epochs=1, module__hidden=(300, 300), batch_size=500).fit(many, many[:, 0] > 0)
        proba = model.predict_proba(many)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                same = np.allclose(model.predict_proba(many), proba, atol=1e-6)
                model.fit(many, many[:, 0] > 0).explain(many[:100])
                code = 0 if same else 1
            finally:
                os._exit(code)
        assert exit_code(child) == 0
    finally:
        torch.set_num_threads(before)

"""The R2ET paper's attacks: steps of one length, up the naive gradient of the printed objective."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone

from robustxai.attacks import ERAttack, MSEAttack
from robustxai.benchmark import ATTACKS
from robustxai.classifiers import SoftplusClassifier
from robustxai.perturbation import ThreatModel

K, STEP = 2, 1e-2


@pytest.fixture(scope="module", params=[2, 3], ids=["binary", "three classes"])
def model(request):
    rng = np.random.default_rng(request.param)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    y = np.argmax(X[:, : request.param] ** 2, axis=1)
    clf = SoftplusClassifier(module__hidden=(6,), max_epochs=20, lr=0.05, device="cpu").fit(X, y)
    confident = clf.predict_proba(X).max(axis=1).argsort()[-20:-10]  # no step changes their prediction
    return clf, X[confident]


def explanation(net, point, c):
    """Gradient of the probability of class c, by torch's own softmax."""
    return torch.autograd.grad(net(point[None])[0].softmax(dim=0)[c], point, create_graph=True)[0]


def naive_step(net, x, start, kind, ranking):
    """One step from `start` for the row x, in float64: pair by pair, entry by entry."""
    c = int(net(x[None]).argmax())
    clean = explanation(net, x.clone().requires_grad_(), c).detach()
    point = start.clone().requires_grad_()
    attribution = explanation(net, point, c)
    if kind is ERAttack:
        before, now = (a.abs() if ranking == "magnitude" else a for a in (clean, attribution))
        order = before.argsort(descending=True).tolist()
        objective = -sum(now[i] - now[j] for i in order[:K] for j in order[K:])
    else:
        objective = sum((a - b) ** 2 for a, b in zip(attribution, clean))
    (slope,) = torch.autograd.grad(objective, point)
    return start + STEP * slope / slope.norm()


@pytest.mark.parametrize("ranking", ["signed", "magnitude"])
@pytest.mark.parametrize(("kind", "before"), [(ERAttack, 0), (ERAttack, 3), (MSEAttack, 4)])
def test_one_more_step_is_a_naive_step_from_the_last_iterate(kind, before, ranking, model):
    """MSE starts from its second trial: at x its gradient is zero."""
    clf, X = model
    net = copy.deepcopy(clf.module_).double()
    ends = [X.astype(np.float64)]
    for n in (before, before + 1):
        if n:
            attack = kind.paper(clf, k=K, max_iter=n, step_size=STEP, ranking=ranking)
            ends.append(attack.run(X).X_adv.astype(np.float64))
    start, end = (torch.tensor(points) for points in ends[-2:])
    rows = torch.tensor(X).double()
    assert torch.equal(net(end).argmax(dim=1), net(rows).argmax(dim=1))
    expected = torch.stack([naive_step(net, x, a, kind, ranking) for x, a in zip(rows, start)])
    torch.testing.assert_close(end, expected, rtol=0, atol=1e-3 * STEP)


@pytest.mark.parametrize("kind", [ERAttack, MSEAttack])
def test_the_protocol_of_tables_and_of_other_data(kind):
    table, images = kind.paper(), kind.paper(k=100, max_iter=100, step_size=5e-2, bounds=(0, 1))
    assert (table.max_iter, table.step_size, table.threat.epsilon, table.threat.norm) == (1000, 1e-3, 1.0, 2)
    assert (table.momentum, table.keep, table.ranking, table.threat.bounds) == (0, "last", "signed", None)
    assert (images.threat.epsilon, images.threat.bounds, images.k) == (5.0, (0, 1), 100)
    copied = clone(kind.paper(random_state=3, momentum=0.5))
    assert (copied.random_state, copied.momentum, copied.step_size) == (3, 0.5, 1e-3)


@pytest.mark.parametrize(("name", "value"), [("k", 0), ("max_iter", 0), ("step_size", 0.0), ("ranking", "sign")])
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        ERAttack.paper(**{name: value})


def test_the_attacks_of_the_tables_are_the_paper_s():
    threat = ThreatModel(0.25, bounds=(0, 1))
    for name, kind in (("er_paper", ERAttack), ("mse_paper", MSEAttack)):
        made = ATTACKS[name](4, threat, 77, 5).get_params()
        assert made == kind.paper(k=4, bounds=(0, 1), ranking="magnitude", random_state=5).get_params()

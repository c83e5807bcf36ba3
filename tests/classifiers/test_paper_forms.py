"""The papers' methods in one word: a step of each equals a naive step in float64, written from the equations."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from robustxai.classifiers import ATEXClassifier, R2ETClassifier
from robustxai.nets import MLP
from robustxai.penalties import TangentDistillation

K, KAPPA, RATE = 2, 0.01, 0.05
#: Large enough that every term moves the weights visibly.
LAMBDA_1, LAMBDA_2 = 0.3, 0.2
ONE_STEP = {
    "optimizer": torch.optim.SGD,
    "lr": RATE,
    "callbacks__lr_schedule": None,
    "batch_size": -1,
    "max_epochs": 1,
    "module__hidden": (6,),
    "device": "cpu",
}


def table(n_classes):
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(9, 5)).astype(np.float32)
    return X, np.arange(9) % n_classes


def network(n_classes, activation):
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        net = MLP(5, n_classes, (6,), activation=activation)
        for p in net.parameters():
            nn.init.normal_(p)
    return net


def explanation(net, row, c):
    """I(x): the gradient of the probability of class c, by torch's own softmax."""
    row = row if row.requires_grad else row.clone().requires_grad_()
    return torch.autograd.grad(net(row[None])[0].softmax(dim=0)[c], row, create_graph=True)[0]


def equation_6(net, X, y, variant, hessian, ranking):
    """Mean over rows of the loss of Eq. 6, pair by pair."""
    total = 0.0
    for row, label in zip(X, y):
        logits = net(row[None])[0]
        c = int(logits.argmax())
        loss = -logits.log_softmax(dim=0)[label]
        attribution = explanation(net, row, c)
        scores = attribution.abs() if ranking == "magnitude" else attribution
        s = [None, *sorted(scores, key=lambda v: -v.item())]  # s[1] is the largest
        n = len(scores)
        if variant == "full":
            pairs = [(i, j) for i in range(1, K + 1) for j in range(K + 1, n + 1)]
        else:
            pairs = [(K - i + 1, K + i) for i in range(1, K + 1)]
        for i, j in pairs:
            loss = loss - LAMBDA_1 * (s[i] - s[j])
        if hessian in (True, "estimated"):
            v = attribution.detach().sign()
            v = v / v.norm()
            loss = loss + LAMBDA_2 * ((explanation(net, row + KAPPA * v, c) - attribution) / KAPPA).norm()
        elif hessian == "spectral":
            H = torch.autograd.functional.hessian(
                lambda x, c=c: net(x[None])[0].softmax(dim=0)[c], row, create_graph=True
            )
            loss = loss + LAMBDA_2 * torch.linalg.matrix_norm(H, 2)
        total = total + loss
    return total / len(X)


def stepped(net, loss):
    """The weights after one step of plain gradient descent, in float64."""
    parameters = dict(net.named_parameters())
    slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        name: p.detach() - RATE * (torch.zeros_like(p) if g is None else g)
        for (name, p), g in zip(parameters.items(), slopes)
    }


def assert_moved_alike(clf, start, expected):
    for name, before in start.named_parameters():
        after = clf.module_.state_dict()[name].double()
        moved = expected[name] - before.double()
        assert moved.abs().max() > 1e-4
        torch.testing.assert_close(after - before.double(), moved, rtol=2e-3, atol=2e-5, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("variant", ["full", "mm"])
@pytest.mark.parametrize("hessian", [True, False, "spectral"])
@pytest.mark.parametrize("ranking", ["signed", "magnitude"])
def test_one_step_of_r2et_is_a_step_of_equation_6(ranking, hessian, variant, n_classes):
    X, y = table(n_classes)
    start = network(n_classes, "relu")
    clf = R2ETClassifier.paper(
        K, LAMBDA_1, LAMBDA_2, variant, hessian, ranking=ranking, init=copy.deepcopy(start), **ONE_STEP
    ).fit(X, y)
    naive = copy.deepcopy(start).double()
    loss = equation_6(naive, torch.tensor(X).double(), y, variant, hessian, ranking)
    assert_moved_alike(clf, start, stepped(naive, loss))


def test_the_words_of_the_paper_are_the_settings_of_the_class():
    clf = R2ETClassifier.paper(8, 0.1, 0.2)
    assert (clf.gap, clf.reduction, clf.pairs, clf.ranking, clf.hessian) == (
        "linear",
        "sum",
        "all",
        "signed",
        "estimated",
    )
    assert clf.get_params()["module__activation"] == "relu"
    assert clf.lr == 1e-2
    assert R2ETClassifier.paper(8, 0.1, 0.2, hessian=False).lambda_hessian == 0
    minimal = R2ETClassifier.paper(8, 0.1, 0.2, "mm", "spectral", lr=1e-3)
    assert (minimal.pairs, minimal.n_pairs, minimal.hessian, minimal.lr) == ("minimal", None, "spectral", 1e-3)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"variant": "minimal"}, "variant"),
        ({"hessian": "exact"}, "hessian"),
        ({"hessian": 1}, "hessian"),
        ({"lambda_1": -1.0}, "lambda_1"),
        ({"lamda_gap": 1.0}, "lambda_gap"),
    ],
)
def test_what_the_paper_does_not_have_is_refused(wrong, match):
    with pytest.raises((TypeError, ValueError), match=match):
        R2ETClassifier.paper(**{"k": 2, "lambda_1": 0.1, "lambda_2": 0.1, **wrong})


@pytest.mark.parametrize(
    "made", [R2ETClassifier.paper(2, 0.1, 0.2, "mm", hessian=False), ATEXClassifier.paper(0.04)], ids=["r2et", "atex"]
)
def test_paper_forms_are_estimators_like_all_others(made):
    copied = clone(made)
    assert copied.get_params() == made.get_params()
    assert type(made)(**made.get_params()).get_params() == made.get_params()
    assert copied.set_params(lr=0.5).lr == 0.5


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_step_of_atex_is_a_step_of_equation_4(n_classes, monkeypatch):
    """The points are those that the training drew; their place and the loss at them are those of the equations."""
    X, y = table(n_classes)
    teacher = network(n_classes, "relu")
    drawn, samples = [], TangentDistillation.samples

    def remembered(self, batch):
        points = samples(self, batch)
        drawn.append((batch.x.detach(), *points))  # the rows in the order of the batch
        return points

    monkeypatch.setattr(TangentDistillation, "samples", remembered)
    options = {**ONE_STEP, "n_along": 2, "n_across": 3, "module__beta": 3.0}
    clf = ATEXClassifier.paper(0.3, alpha=0.5, init=copy.deepcopy(teacher), **options).fit(X, y)
    ((rows, on, off),) = drawn
    along, across = on - rows, off - on[:, None]
    for lengths in (along.norm(dim=-1), across.norm(dim=-1)):
        assert 0.2 < lengths.max() <= 0.3 * (1 + 1e-5)
    torch.testing.assert_close((across * along[:, None]).sum(dim=-1), torch.zeros(2, 3, 9), rtol=0, atol=1e-6)

    # g starts from the weights of f, with its own activation: it is not at the minimum of the first term
    student = MLP(5, n_classes, (6,), activation="softplus", beta=3.0).double()
    student.load_state_dict(teacher.state_dict())
    f = copy.deepcopy(teacher).double()
    loss = 0.0
    for b, row in enumerate(rows):
        loss = loss + divergence(student, row, f, row)
        for i in range(2):
            loss = loss + 0.5 * sum(divergence(student, off[i, p, b], f, on[i, b]) for p in range(3))
    assert_moved_alike(clf, teacher, stepped(student, loss / len(rows)))


def divergence(student, there, teacher, here):
    """KL(softmax(f(here)) || softmax(g(there))), class by class: no temperature."""
    with torch.no_grad():
        p = teacher(here.double()[None])[0].softmax(dim=0)
    q = student(there.double()[None])[0].softmax(dim=0)
    return sum(a * (a.log() - b.log()) for a, b in zip(p, q))

import numpy as np
import pytest
import torch

from robustxai.attacks import FGSM, PGD
from robustxai.perturbation import ThreatModel


def cross_entropy(clf, X, labels):
    column = np.searchsorted(clf.classes_, labels)
    return -np.log(clf.predict_proba(X)[np.arange(len(X)), column].clip(1e-300))


@pytest.mark.parametrize(("norm", "epsilon"), [(2, 0.5), ("inf", 0.1)])
def test_it_reaches_a_higher_cross_entropy_than_one_step(vanilla, cancer, norm, epsilon):
    X, threat = cancer[1], ThreatModel(epsilon, norm=norm, bounds=(0, 1))
    labels = vanilla.predict(X)
    reached = [
        cross_entropy(vanilla, attack.fit(X).transform(X), labels).mean()
        for attack in (
            FGSM(vanilla, threat=threat),
            PGD(vanilla, threat=threat),
            PGD(vanilla, threat=threat, random_start=False),
        )
    ]
    assert cross_entropy(vanilla, X, labels).mean() < reached[0] < min(reached[1:])


def test_a_single_whole_step_without_a_random_start_is_fgsm(victim, X):
    threat = ThreatModel(0.4, norm="inf")
    one = PGD(victim, threat=threat, max_iter=1, step_size=0.4, random_start=False).fit_transform(X)
    np.testing.assert_array_equal(one, FGSM(victim, threat=threat).fit_transform(X))


@pytest.mark.parametrize("norm", [2, "inf"])
def test_the_steps_are_those_of_a_naive_version(victim, X, norm):
    epsilon, n_iter = 0.3, 7
    X_adv = PGD(victim, threat=ThreatModel(epsilon, norm=norm), max_iter=n_iter, random_start=False).fit_transform(X)
    for x, moved in zip(X, X_adv):
        x = torch.tensor(x)
        label, delta = victim.module_(x[None]).argmax(), torch.zeros(8, dtype=torch.float64)
        for _ in range(n_iter):
            point = (x + delta).requires_grad_()
            loss = torch.nn.functional.cross_entropy(victim.module_(point[None]), label[None])
            (gradient,) = torch.autograd.grad(loss, point)
            delta = delta + 2.5 * epsilon / n_iter * (gradient.sign() if norm == "inf" else gradient / gradient.norm())
            delta = delta.clamp(-epsilon, epsilon) if norm == "inf" else delta * min(1, epsilon / float(delta.norm()))
        np.testing.assert_allclose(moved, (x + delta).numpy(), atol=2e-5)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_the_start_is_a_point_of_the_ball(victim, X, norm):
    """Seen by a step of no length; radii are those of a uniform draw."""
    threat, lengths = ThreatModel(0.5, norm=norm, frozen=[0, 1, 2, 3, 4, 5]), []
    for seed in range(200):
        attack = PGD(victim, threat=threat, max_iter=1, step_size=1e-9, random_state=seed)
        steps = attack.fit_transform(X[:3]) - X[:3]
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-6)
        lengths.append(np.linalg.norm(steps[0], ord=2 if norm == 2 else np.inf))
    share = (np.array(lengths) / 0.5) ** 2  # two free features
    assert share.max() <= 1 + 1e-5
    np.testing.assert_allclose([share.mean(), np.median(share)], 0.5, atol=0.1)


def test_the_start_belongs_to_the_random_state(victim, X):
    first, again, other = (PGD(victim, random_state=seed).fit_transform(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    generator = np.random.RandomState(0)
    np.testing.assert_array_equal(PGD(victim, random_state=generator).fit_transform(X), first)
    assert not np.array_equal(PGD(victim, random_state=generator).fit_transform(X), first)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"max_iter": 0}, ValueError, "max_iter must be a finite number >= 1"),
        ({"step_size": 0}, ValueError, "step_size must be a finite number > 0"),
        ({"step_size": "big"}, TypeError, "step_size must be a number"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(victim, X, parameters, error, message):
    with pytest.raises(error, match=message):
        PGD(victim, **parameters).fit(X)

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from robustxai.metrics import _inputs, gamma_stability
from robustxai.metrics._gamma_stability import nearest_multiple
from robustxai.perturbation import ThreatModel, displacement_sampler

from .doubles import Double, logit_gradient, probability_gradient


def naive(estimator, X, epsilon, n_draws, norm=2):
    """Random points alone, one after the other, and the minimum over gamma by scipy."""
    steps = displacement_sampler(X[0].size, epsilon, "uniform", 0, norm=norm)(len(X) * n_draws)
    steps = steps.reshape(len(X), n_draws, *X[0].shape)
    labels = estimator.classes_[estimator.predict_proba(X).argmax(axis=1)]
    values = []
    for x, label, deltas in zip(X, labels, steps):
        here = estimator.explain(x[None], [label])[0].ravel()
        there = [here, *(estimator.explain((x + d)[None], [label])[0].ravel() for d in deltas)]

        def largest(gamma, here=here, there=there):
            return max(np.linalg.norm(t - gamma * here) for t in there)

        values.append(minimize_scalar(largest, bounds=(0, 10), method="bounded", options={"xatol": 1e-10}).fun)
    return values


@pytest.mark.parametrize("norm", [2, np.inf])
def test_equals_the_loops(norm, net, X):
    value = gamma_stability(net, X, epsilon=0.7, norm=norm, n_draws=5, n_rounds=0)
    np.testing.assert_allclose(value, naive(net, X, 0.7, 5, norm), rtol=1e-6)


def test_equals_the_loops_on_images(image_net, images):
    value = gamma_stability(image_net, images, epsilon=1.5, n_draws=3, n_rounds=0)
    np.testing.assert_allclose(value, naive(image_net, images, 1.5, 3), rtol=1e-6)


def test_a_linear_score_is_perfectly_stable(linear, X):
    np.testing.assert_allclose(gamma_stability(linear, X, epsilon=2.0), 0, atol=1e-7)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_a_quadratic_score_in_closed_form(epsilon, quadratic, X):
    """phi = Ax + b: at gamma 1 the distance is epsilon ||A||_2 at most, and both signs of delta forbid another one."""
    matrix = quadratic.module_.matrix.detach().numpy()
    expected = epsilon * np.linalg.norm(matrix, ord=2)
    value = gamma_stability(quadratic, X, epsilon=epsilon, n_rounds=12, max_iter=30)
    np.testing.assert_allclose(value, expected, rtol=0.02)
    assert (value <= expected * (1 + 1e-9)).all()
    length = np.linalg.norm(quadratic.explain(X), axis=1)
    relative = gamma_stability(quadratic, X, epsilon=epsilon, n_rounds=12, max_iter=30, relative=True)
    np.testing.assert_allclose(relative, value / length)


def test_a_direction_that_never_turns_is_half_the_range_of_its_length():
    """Of a linear model of two classes, phi = p (1 - p) w: gamma lies in the middle of what the factor can be."""
    module = torch.nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 2.0]]))
    clf = Double(module, probability_gradient, classes=(0, 1))
    X, epsilon = np.array([[1.0, 0.0, 0.0], [0.5, -0.5, 1.0]]), 0.4
    slope = np.array([1.0, -2.0, 2.0])
    ends = [1 / (1 + np.exp(-(X @ slope + s * epsilon * 3))) for s in (-1, 1)]
    lengths = [3 * p * (1 - p) for p in ends]
    assert (X @ slope > 3 * epsilon).tolist() == [False, True]
    # the first row reaches the log-odds 0, where the factor is largest
    top = np.maximum(*lengths)
    top[0] = 3 / 4
    expected = (top - np.minimum(*lengths)) / 2
    value = gamma_stability(clf, X, epsilon=epsilon, n_draws=64, n_rounds=6)
    np.testing.assert_allclose(value, expected, rtol=0.02)


def test_more_search_and_a_larger_ball_find_no_less(net, X):
    few = gamma_stability(net, X, epsilon=0.5, n_draws=4, n_rounds=0)
    more = gamma_stability(net, X, epsilon=0.5, n_draws=4, n_rounds=4)
    assert (more >= few * (1 - 1e-9)).all()
    assert (more > few * 1.05).any()
    assert (gamma_stability(net, X, epsilon=1.0, n_draws=4, n_rounds=4) > more).all()
    np.testing.assert_allclose(gamma_stability(net, X, epsilon=0.0), 0, atol=1e-7)


def test_frozen_features_and_boxes_are_kept(quadratic, X):
    """With all features but one frozen it is epsilon times that column of A; a box that ends at x allows nothing."""
    matrix = quadratic.module_.matrix.detach().numpy()
    one = gamma_stability(quadratic, X, threat=ThreatModel(0.5, frozen=[0, 1, 2, 4, 5]), n_rounds=6)
    np.testing.assert_allclose(one, 0.5 * np.linalg.norm(matrix[:, 3]), rtol=0.02)
    x = X[:1]
    np.testing.assert_allclose(
        gamma_stability(quadratic, x, threat=ThreatModel(0.5, bounds=(x[0], x[0]))), 0, atol=1e-6
    )


def test_a_value_does_not_depend_on_the_rows_beside_it(net, X, monkeypatch, global_generators_untouched):
    whole = gamma_stability(net, X, n_draws=3)
    np.testing.assert_allclose(gamma_stability(net, X[:2], n_draws=3), whole[:2], rtol=1e-9)
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 1)
    np.testing.assert_allclose(gamma_stability(net, X, n_draws=3), whole, rtol=1e-9)
    assert not np.array_equal(gamma_stability(net, X, n_draws=3, n_rounds=0, random_state=1), whole)


def test_an_explanation_of_zeros_has_no_relative_value():
    module = torch.nn.Linear(3, 2).double()
    torch.nn.init.zeros_(module.weight)
    clf = Double(module, logit_gradient, classes=(0, 1))
    assert np.isnan(gamma_stability(clf, np.zeros((2, 3)), relative=True)).all()
    np.testing.assert_array_equal(gamma_stability(clf, np.zeros((2, 3))), 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_no_other_multiple_is_nearer(seed):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    seen = torch.cat([clean[:, None], torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)], dim=1)
    gamma, distance, worst = nearest_multiple(clean, seen)
    assert (gamma >= 0).all()
    for factor in torch.linspace(0, 5, 40, dtype=torch.float64):
        assert ((seen - factor * clean[:, None]).norm(dim=2).amax(dim=1) >= distance - 1e-9).all()
    at = (seen - gamma[:, None, None] * clean[:, None]).norm(dim=2)
    torch.testing.assert_close(at[torch.arange(3), worst], distance, rtol=1e-4, atol=0)


def test_arguments_out_of_range_are_refused(net, X):
    for wrong in ({"epsilon": -1.0}, {"n_draws": 0}, {"n_rounds": -1}, {"max_iter": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            gamma_stability(net, X, **wrong)

import copy

import numpy as np
import pytest
import torch

from robustxai.metrics import _inputs, hessian_norm

from .doubles import Double


def hessians(net, X):
    """The Hessian of the predicted class's probability, sample by sample."""
    result = []
    for x, c in zip(torch.tensor(X), net.predict_proba(X).argmax(axis=1)):
        result.append(torch.autograd.functional.hessian(lambda p, c=c: net.module_(p[None]).softmax(dim=1)[0, c], x))
    return torch.stack(result).flatten(start_dim=1).reshape(len(X), X[0].size, -1).numpy()


@pytest.mark.parametrize(("norm", "order"), [("fro", "fro"), ("spectral", 2)])
def test_equals_the_norm_of_the_hessian(norm, order, net, X, image_net, images, monkeypatch):
    for estimator, data in ((net, X), (image_net, images)):
        expected = [np.linalg.norm(h, ord=order) for h in hessians(estimator, data)]
        np.testing.assert_allclose(hessian_norm(estimator, data, norm=norm), expected)
        monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 80)
        np.testing.assert_allclose(hessian_norm(estimator, data, norm=norm), expected)


def test_estimated_is_the_finite_difference_along_the_sign(net, X):
    expected = []
    for x, label in zip(X, net.classes_[net.predict_proba(X).argmax(axis=1)]):
        here = net.explain(x[None], [label])[0]
        v = np.sign(here) / np.linalg.norm(np.sign(here))
        expected.append(np.linalg.norm((net.explain((x + 0.1 * v)[None], [label])[0] - here) / 0.1))
    np.testing.assert_allclose(hessian_norm(net, X, norm="estimated", kappa=0.1), expected)


def test_known_curvature(linear, quadratic, X):
    matrix = quadratic.module_.matrix.detach().numpy()
    np.testing.assert_allclose(hessian_norm(quadratic, X), np.linalg.norm(matrix))
    np.testing.assert_allclose(hessian_norm(quadratic, X, norm="spectral"), np.linalg.norm(matrix, ord=2))
    v = np.sign(quadratic.explain(X)) / np.sqrt(X.shape[1])
    np.testing.assert_allclose(hessian_norm(quadratic, X, norm="estimated"), np.linalg.norm(v @ matrix, axis=1))
    for norm in ("fro", "spectral", "estimated"):
        assert not hessian_norm(linear, X, norm=norm).any()
        assert not hessian_norm(linear, X, norm=norm, max_exact=0).any()


def test_a_zero_attribution_has_a_zero_estimate(quadratic):
    stationary = np.linalg.solve(quadratic.module_.matrix.detach().numpy(), -quadratic.module_.offset.detach().numpy())
    module = torch.nn.Linear(6, 2).double()
    torch.nn.init.zeros_(module.weight)
    assert hessian_norm(Double(module), stationary[None], norm="estimated") == [0.0]


def test_probes_agree_with_the_exact_norms(net, X, global_generators_untouched):
    exact, spectral = hessian_norm(net, X), hessian_norm(net, X, norm="spectral")
    # at most 1 / sqrt(2 n_draws) = 2.2 % standard error; four of them
    np.testing.assert_allclose(hessian_norm(net, X, max_exact=5, n_draws=1000), exact, rtol=4 * 0.0224)
    estimate = hessian_norm(net, X, norm="spectral", max_exact=5, n_draws=1)
    assert (estimate < spectral).all()
    np.testing.assert_allclose(hessian_norm(net, X, norm="spectral", max_exact=5, n_draws=200), spectral, rtol=1e-3)


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_probes_follow_the_random_state_and_not_the_parts(norm, net, X, monkeypatch):
    options = {"norm": norm, "max_exact": 0, "n_draws": 2}
    first = hessian_norm(net, X, random_state=1, **options)
    assert not np.allclose(first, hessian_norm(net, X, random_state=2, **options))
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 1)
    np.testing.assert_allclose(hessian_norm(net, X, random_state=1, **options), first)


def test_single_precision_modules_take_double_inputs(net, X):
    single = Double(copy.deepcopy(net.module_).float())
    for norm in ("fro", "spectral"):
        np.testing.assert_allclose(hessian_norm(single, X, norm=norm), hessian_norm(net, X, norm=norm), rtol=1e-4)


def test_arguments_out_of_range_are_refused(net, X):
    with pytest.raises(ValueError, match="Did you mean 'spectral'"):
        hessian_norm(net, X, norm="spectrl")
    for wrong in ({"kappa": 0.0}, {"n_draws": 0}, {"max_exact": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            hessian_norm(net, X, **wrong)

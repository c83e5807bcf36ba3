import numpy as np
import pytest
import torch

from robustxai.metrics import _inputs, relaxed_thickness, thickness_bounds
from robustxai.perturbation import displacement_sampler
from robustxai.ranking import unit_scores

from .doubles import Double, logit_gradient

RANKINGS = pytest.mark.parametrize("ranking", ["magnitude", "signed"])


def naive(estimator, X, k, epsilon, form, n_draws, ranking, seed):
    """Loops over samples, points of the ball and pairs."""
    steps = displacement_sampler(X[0].size, epsilon, "uniform", seed)(len(X) * n_draws).reshape(
        -1, n_draws, *X[0].shape
    )
    targets = torch.as_tensor(estimator.predict_proba(X).argmax(axis=1))
    bounds = []
    for x, step, c in zip(torch.tensor(X), torch.tensor(steps), targets):

        def score(p, c=c):
            return unit_scores(estimator.explainer_(estimator.module_, p[None], c[None], create_graph=True), ranking)[0]

        def rows(p, score=score):
            return torch.autograd.functional.jacobian(score, p.clone().requires_grad_()).flatten(start_dim=1)

        s = score(x.clone().requires_grad_()).detach()
        matrices = [rows(p) for p in [x, *(x + step)]]
        order = s.argsort(descending=True, stable=True).tolist()
        pairs = []
        for i in order[:k]:
            for j in order[k:]:
                h = (s[i] - s[j]).item()
                distances = [(m[i] - m[j]).norm().item() for m in matrices]
                if form == "valid":
                    pairs.append((h - epsilon / 2 * max(distances), h + epsilon / 2 * max(distances)))
                else:
                    lengths = [max(m[u].norm().item() for m in matrices) for u in (i, j)]
                    pairs.append((h - epsilon / 2 * distances[0], h + epsilon * sum(lengths)))
        bounds.append(np.mean(pairs, axis=0))
    return np.array(bounds).T


@RANKINGS
@pytest.mark.parametrize("form", ["valid", "paper"])
def test_equals_the_loops(form, ranking, net, X, image_net, images, monkeypatch):
    value = thickness_bounds(net, X, 2, epsilon=0.8, form=form, n_draws=4, ranking=ranking, random_state=3)
    expected = naive(net, X, 2, 0.8, form, 4, ranking, 3)
    np.testing.assert_allclose(value, expected)
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 1)
    np.testing.assert_allclose(
        thickness_bounds(net, X, 2, epsilon=0.8, form=form, n_draws=4, ranking=ranking, random_state=3), expected
    )
    value = thickness_bounds(image_net, images, 5, form=form, n_draws=1, ranking=ranking)
    np.testing.assert_allclose(value, naive(image_net, images, 5, 0.5, form, 1, ranking, 0))


def test_bounds_of_a_linear_model_are_its_thickness(linear, X):
    thickness = relaxed_thickness(linear, X, 2)
    for form in ("valid", "paper"):
        for bound in (
            *thickness_bounds(linear, X, 2, form=form),
            *thickness_bounds(linear, X, 2, form=form, curvature=0.0),
        ):
            np.testing.assert_allclose(bound, thickness)


def test_constant_curvature_is_known_without_sampling(quadratic, X):
    matrix = quadratic.module_.matrix.detach().numpy()
    order = np.argsort(-quadratic.explain(X), axis=1)
    slopes = [np.mean([np.linalg.norm(matrix[i] - matrix[j]) for i in o[:2] for j in o[2:]]) for o in order]
    gap = relaxed_thickness(quadratic, X, 2, epsilon=0.0, ranking="signed")
    lower, upper = thickness_bounds(quadratic, X, 2, epsilon=0.3, n_draws=0, ranking="signed")
    np.testing.assert_allclose([lower, upper], [gap - 0.15 * np.array(slopes), gap + 0.15 * np.array(slopes)])


@pytest.fixture(scope="module")
def shallow():
    """One hidden layer, explained by the logit, and a proven curvature: |H| <= beta / 4 max|w| |W|^2."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(6, 10), torch.nn.Softplus(beta=2), torch.nn.Linear(10, 3)).double()
    first, last = module[0].weight.detach(), module[2].weight.detach()
    return Double(module, logit_gradient), (
        2 / 4 * last.abs().max() * torch.linalg.matrix_norm(first, ord=2) ** 2
    ).item()


@RANKINGS
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_proven_bounds_contain_the_thickness(epsilon, ranking, shallow, quadratic, X):
    estimator, curvature = shallow
    largest = np.linalg.norm(quadratic.module_.matrix.detach().numpy(), ord=2)
    for model, bound in ((estimator, curvature), (quadratic, largest), (quadratic, np.full(len(X), largest))):
        options = {"epsilon": epsilon, "ranking": ranking}
        thickness = relaxed_thickness(model, X, 2, **options)
        lower, upper = thickness_bounds(model, X, 2, curvature=bound, **options)
        assert (lower <= thickness).all()
        assert (thickness <= upper).all()
        assert (thickness <= thickness_bounds(model, X, 2, form="paper", curvature=bound, **options)[1]).all()
        sampled = thickness_bounds(model, X, 2, **options)  # an estimate of a supremum stays below its proof
        assert (lower <= sampled[0]).all()
        assert (sampled[1] <= upper).all()


def test_a_proven_curvature_counts_the_channels_of_a_pixel(images):
    def explainer(module, x, target, *, logits=None, create_graph=False):
        return x.mean(dim=1, keepdim=True).expand_as(x)

    # The Jacobian is a projection, of spectral norm 1; a pixel's score is the sum of its three inputs, so that two
    # pixels differ with slope sqrt(6), and the proof is tight.
    model = Double(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 3)).double(), explainer)
    sampled = thickness_bounds(model, images, 4, n_draws=0, ranking="signed")
    np.testing.assert_allclose(thickness_bounds(model, images, 4, curvature=1.0, ranking="signed"), sampled)
    gap = relaxed_thickness(model, images, 4, epsilon=0.0, ranking="signed")
    np.testing.assert_allclose(sampled, [gap - 0.25 * np.sqrt(6), gap + 0.25 * np.sqrt(6)])
    paper = thickness_bounds(model, images, 4, form="paper", curvature=1.0, ranking="signed")
    np.testing.assert_allclose(paper, [gap - 0.25 * np.sqrt(6), gap + 0.5 * 2 * np.sqrt(3)])


def test_the_printed_lower_bound_can_exceed_the_thickness_and_the_valid_one_does_not():
    def explainer(module, x, target, *, logits=None, create_graph=False):
        return torch.stack([3 - x[:, 0] ** 2, x[:, 1] * 0], dim=1)  # flat at 0, falling on either side

    estimator, x = Double(torch.nn.Linear(2, 2).double(), explainer, classes=(0, 1)), np.zeros((1, 2))
    thickness = relaxed_thickness(estimator, x, 1, epsilon=1.0)
    assert thickness_bounds(estimator, x, 1, epsilon=1.0, form="paper")[0] > thickness
    assert thickness_bounds(estimator, x, 1, epsilon=1.0, curvature=2.0)[0] <= thickness  # |H| = |2 x_0| <= 2


def test_more_points_never_narrow_the_estimate_and_seeds_repeat(net, X, global_generators_untouched):
    first = thickness_bounds(net, X, 2, n_draws=3)
    np.testing.assert_array_equal(first, thickness_bounds(net, X, 2, n_draws=3))
    alone = thickness_bounds(net, X, 2, n_draws=0)
    assert (first[0] < alone[0]).any()
    assert (first[0] <= alone[0]).all()
    assert (first[1] >= alone[1]).all()


def test_arguments_out_of_range_are_refused(net, X):
    with pytest.raises(ValueError, match="Did you mean 'valid'"):
        thickness_bounds(net, X, 2, form="vaild")
    for wrong in (
        {"epsilon": -1.0},
        {"n_draws": -1},
        {"curvature": -1.0},
        {"curvature": np.ones(2)},
        {"curvature": np.nan},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            thickness_bounds(net, X, 2, **wrong)
    with pytest.warns(UserWarning, match="k=5"):
        thickness_bounds(net, X, n_draws=0)

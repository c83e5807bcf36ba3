import numpy as np
import pandas as pd
import pytest
import torch

from robustxai.metrics import _inputs, ranking_thickness, relaxed_thickness
from robustxai.perturbation import displacement_sampler

from .doubles import Recorder

BOTH = pytest.mark.parametrize("metric", [ranking_thickness, relaxed_thickness])


def naive(metric, estimator, X, k, epsilon, distribution, n_draws, n_points, ranking, seed):
    """Loops over samples, draws, points and pairs."""
    steps = displacement_sampler(X[0].size, epsilon, distribution, seed)(len(X) * n_draws).reshape(
        -1, n_draws, *X[0].shape
    )
    labels = estimator.classes_[estimator.predict_proba(X).argmax(axis=1)]

    def scores(x, label):
        a = estimator.explain(x[None], [label])[0]
        a = np.abs(a) if ranking == "magnitude" else a
        return (a.sum(axis=0) if a.ndim == 3 else a).ravel()

    means, errors = [], []
    for i, x in enumerate(X):
        at_x = scores(x, labels[i])
        top = set(np.argsort(-at_x, kind="stable")[:k])
        draws = []
        for m in range(n_draws):
            total = []
            for j in range(n_points):
                t = (j + 0.5) / n_points
                s = scores((1 - t) * x + t * (x + steps[i, m]), labels[i])
                for a in top:
                    for b in set(range(len(s))) - top:
                        total.append(s[a] >= s[b] if metric is ranking_thickness else s[a] - s[b])
            draws.append(np.mean(total))
        means.append(np.mean(draws))
        errors.append(np.std(draws, ddof=1) / np.sqrt(n_draws))
    return means, errors


@BOTH
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
def test_equals_the_loops(metric, ranking, distribution, net, X):
    value, error = metric(
        net,
        X,
        2,
        epsilon=1.5,
        distribution=distribution,
        n_draws=4,
        n_points=3,
        ranking=ranking,
        random_state=3,
        return_std_error=True,
    )
    expected, expected_error = naive(metric, net, X, 2, 1.5, distribution, 4, 3, ranking, 3)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    np.testing.assert_allclose(error, expected_error, atol=1e-12)
    assert np.ptp(value) > 0


@BOTH
def test_equals_the_loops_on_images(metric, image_net, images):
    value = metric(image_net, images, 5, epsilon=2.0, n_draws=2, n_points=2)
    np.testing.assert_allclose(value, naive(metric, image_net, images, 5, 2.0, "uniform", 2, 2, "magnitude", 0)[0])


def test_a_linear_model_has_thickness_one_and_its_gap(linear, X):
    value, error = ranking_thickness(linear, X, 2, epsilon=10.0, return_std_error=True)
    assert (value == 1).all()
    assert (error == 0).all()
    scores = -np.sort(-np.abs(linear.explain(X)), axis=1)
    np.testing.assert_allclose(relaxed_thickness(linear, X, 2), scores[:, :2].mean(axis=1) - scores[:, 2:].mean(axis=1))


def test_radius_zero_looks_at_x_alone(net, X):
    assert (ranking_thickness(net, X, 2, epsilon=0.0) == 1).all()
    scores = -np.sort(-np.abs(net.explain(X)), axis=1)
    gap = scores[:, :2].mean(axis=1) - scores[:, 2:].mean(axis=1)
    np.testing.assert_allclose(relaxed_thickness(net, X, 2, epsilon=0.0), gap)


@BOTH
@pytest.mark.parametrize("budget", [1, 7, 100])
def test_a_value_depends_neither_on_the_parts_nor_on_the_rows_after_it(metric, budget, net, X, monkeypatch):
    whole = metric(net, X, 2, n_draws=6, n_points=3)
    np.testing.assert_allclose(metric(net, X[:3], 2, n_draws=6, n_points=3), whole[:3], rtol=1e-12)
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", budget)
    np.testing.assert_allclose(metric(net, X, 2, n_draws=6, n_points=3), whole, rtol=1e-12)


def test_the_standard_error_is_that_of_repeated_runs_and_shrinks_with_the_root(net, X):
    runs = np.array([relaxed_thickness(net, X, 2, epsilon=1.0, n_draws=10, random_state=seed) for seed in range(60)])
    few, many = (
        relaxed_thickness(net, X, 2, epsilon=1.0, n_draws=n, random_state=99, return_std_error=True)[1]
        for n in (100, 1600)
    )
    np.testing.assert_allclose(few / many, 4, rtol=0.35)
    np.testing.assert_allclose(runs.std(axis=0, ddof=1) * np.sqrt(10 / 1600), many, rtol=0.4)


@BOTH
def test_random_state_decides_the_result(metric, net, X, global_generators_untouched):
    first = metric(net, X, 2, n_draws=5, random_state=1)
    np.testing.assert_array_equal(first, metric(net, X, 2, n_draws=5, random_state=1))
    assert not np.array_equal(first, metric(net, X, 2, n_draws=5, random_state=2))


def test_every_point_is_explained_for_the_class_at_its_center(net, X):
    recorder = Recorder(net)
    ranking_thickness(recorder, X, 2, epsilon=5.0, n_draws=3, n_points=4)
    labels = net.classes_[net.predict_proba(X).argmax(axis=1)]
    points, asked = recorder.calls[-1]
    np.testing.assert_array_equal(asked, labels.repeat(12))
    moved = net.predict_proba(points).argmax(axis=1) != np.searchsorted(net.classes_, asked)
    assert moved.any()  # some points lie in another class, so that the test can tell


def test_frames_and_tensors_give_what_arrays_give(net, X):
    expected = ranking_thickness(net, X, 2, n_draws=3)
    recorder = Recorder(net)
    frame = pd.DataFrame(X, columns=list("uvwxyz"))
    np.testing.assert_array_equal(ranking_thickness(recorder, frame, 2, n_draws=3), expected)
    assert all(list(points.columns) == list("uvwxyz") for points, _ in recorder.calls)
    np.testing.assert_array_equal(ranking_thickness(net, torch.tensor(X), 2, n_draws=3), expected)


@BOTH
def test_arguments_out_of_range_are_refused(metric, net, X):
    for wrong in ({"epsilon": -1.0}, {"n_draws": 0}, {"n_points": 0}, {"n_draws": 1, "return_std_error": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            metric(net, X, 2, **wrong)
    with pytest.raises(ValueError, match="no samples"):
        metric(net, X[:0], 2)
    with pytest.warns(UserWarning, match="k=5"):
        metric(net, X, n_draws=1)

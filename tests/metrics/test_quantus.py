"""Against Quantus, where it is installed: metrics that both libraries have, and those that follow from one of its."""

import numpy as np
import pytest
import torch

from robustxai.metrics import (
    comprehensiveness,
    cosine_similarity,
    decision_flip_fraction,
    kendall_correlation,
    precision_at_k,
    spearman_correlation,
    ssim,
    sufficiency,
    top_k_intersection,
)

quantus = pytest.importorskip("quantus")


@pytest.fixture(params=["distinct", "ties"])
def pair(request):
    """Two sets of 20 explanations of 12 columns, alike and yet not the same."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(20, 12))
    second = first + 0.7 * rng.normal(size=first.shape)
    return (first, second) if request.param == "distinct" else (first.round(), second.round())


def ranked(pair, ranking):
    return [np.abs(a) for a in pair] if ranking == "magnitude" else pair


RANKING = pytest.mark.parametrize("ranking", ["magnitude", "signed"])


@RANKING
@pytest.mark.parametrize(
    ("metric", "function"),
    [(spearman_correlation, "correlation_spearman"), (kendall_correlation, "correlation_kendall_tau")],
)
def test_rank_correlations(metric, function, ranking, pair):
    expected = getattr(quantus.similarity_func, function)(*ranked(pair, ranking), batched=True)
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(metric(*pair, ranking=ranking), expected, rtol=1e-10)


def test_cosine(pair):
    """Theirs is the distance."""
    expected = [1 - quantus.similarity_func.cosine(a, b) for a, b in zip(*pair)]
    np.testing.assert_allclose(cosine_similarity(*pair), expected, rtol=1e-10)


@RANKING
def test_ssim_has_the_same_range(ranking, monkeypatch):
    """Theirs is scikit-image's with a flat window of 7 x 7; with the window of the paper the rest is ours."""
    metrics = pytest.importorskip("skimage.metrics")
    original = metrics.structural_similarity

    def with_the_window_of_the_paper(im1, im2, *, win_size, data_range):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return original(im1, im2, win_size=win_size, data_range=data_range, **options)

    monkeypatch.setattr(metrics, "structural_similarity", with_the_window_of_the_paper)
    rng = np.random.default_rng(1)
    first = rng.normal(size=(5, 15, 13))
    maps = first, first + 0.5 * rng.normal(size=first.shape)
    expected = quantus.similarity_func.ssim(*ranked(maps, ranking), batched=True)
    np.testing.assert_allclose(ssim(*maps, ranking=ranking), expected, rtol=1e-9)


# ------------------------------------------------------------------ through its metrics


QUIET = {"normalise": False, "disable_warnings": True, "display_progressbar": False}


class Columns(torch.nn.Module):
    """Reads (n, 1, features), a series of one channel, as Quantus asks for."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x.squeeze(1).double())


def evaluate(metric, net, X, attribution, **options):
    """A Quantus metric of explanations of the predicted class."""
    y = net.predict_proba(X).argmax(axis=1)
    values = metric(
        Columns(net.module_).eval(),
        X[:, None],
        y,
        a_batch=attribution[:, None],
        channel_first=True,
        device="cpu",
        **options,
    )
    return np.array(values)


@RANKING
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("metric", [top_k_intersection, precision_at_k])
def test_top_k_intersection(metric, k, ranking, net):
    """The top-k set of the first explanation is their ground truth."""
    rng = np.random.default_rng(2)
    X, first = rng.normal(size=(2, 30, 6))
    second = first + 0.7 * rng.normal(size=first.shape)
    scores = ranked((first, second), ranking)
    truth = np.zeros(first.shape, dtype=bool)
    np.put_along_axis(truth, np.argsort(-scores[0], axis=1)[:, :k], True, axis=1)
    value = metric(first, second, k=k, ranking=ranking)
    assert 0 < value.mean() < 1
    theirs = quantus.TopKIntersection(k=k, abs=False, **QUIET), quantus.RelevanceRankAccuracy(abs=False, **QUIET)
    for other in theirs:
        expected = evaluate(other, net, X, scores[1], s_batch=truth[:, None])
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def curves(net, X, attribution, baseline):
    """Probability of the predicted class before and after the removal of 1, ..., n columns, the highest first."""
    flipping = quantus.PixelFlipping(abs=False, perturb_baseline=baseline, **QUIET)
    before = net.predict_proba(X).max(axis=1)
    return before[:, None], evaluate(flipping, net, X, attribution, softmax=True)


@RANKING
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_comprehensiveness_and_sufficiency_are_pixel_flipping(baseline, ranking, net):
    X = np.random.default_rng(5).normal(size=(40, 6))
    attribution = net.explain(X)
    scores = np.abs(attribution) if ranking == "magnitude" else attribution
    before, without_top = curves(net, X, scores, baseline)
    options = {"baseline": baseline, "ranking": ranking}
    expected = np.abs(before - without_top).mean(axis=1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(comprehensiveness(net, X, **options), expected, rtol=1e-5)
    expected = np.abs(before - without_top)[:, [1, 3]].mean(axis=1)
    np.testing.assert_allclose(comprehensiveness(net, X, ks=[2, 4], **options), expected, rtol=1e-5)
    # without the lowest n - k columns there are the top k
    _, only_top = curves(net, X, scores.max() - scores, baseline)  # it refuses explanations below zero
    only_top = np.concatenate([before, only_top[:, :-1]], axis=1)[:, ::-1]
    expected = np.abs(before - only_top).mean(axis=1)
    np.testing.assert_allclose(sufficiency(net, X, **options), expected, rtol=1e-5)


def test_decision_flip_fraction_is_where_pixel_flipping_crosses_one_half(quadratic):
    X = np.random.default_rng(6).normal(size=(40, 6))
    attribution = quadratic.explain(X)
    _, curve = curves(quadratic, X, np.abs(attribution), 0.0)
    flipped = curve < 0.5
    expected = np.where(flipped.any(axis=1), (flipped.argmax(axis=1) + 1) / 6, 1.0)
    assert len(np.unique(expected)) > 2
    np.testing.assert_allclose(decision_flip_fraction(quadratic, X, baseline=0.0), expected, rtol=1e-12)

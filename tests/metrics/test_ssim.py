import numpy as np
import pytest
import torch

from robustxai.metrics import _inputs, ssim


def naive(a, b, data_range):
    """Wang et al.'s definition for one image, window by window."""
    offsets = np.arange(-5, 6)
    row = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(row, row) / row.sum() ** 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i in range(5, a.shape[0] - 5):
        for j in range(5, a.shape[1] - 5):
            p, q = (m[i - 5 : i + 6, j - 5 : j + 6] for m in (a, b))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(3, 14, 17))
    return first, first + 0.5 * rng.normal(size=first.shape)


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("data_range", [None, 2.5])
def test_equals_the_definition(ranking, data_range, pair):
    maps = [np.abs(m) for m in pair] if ranking == "magnitude" else pair
    expected = []
    for a, b in zip(*maps):
        spread = max(a.max(), b.max()) - min(a.min(), b.min())
        expected.append(naive(a, b, spread if data_range is None else data_range))
    np.testing.assert_allclose(ssim(*pair, data_range=data_range, ranking=ranking), expected, rtol=1e-10)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_equals_scikit_image(channels):
    metrics = pytest.importorskip("skimage.metrics")
    shape = (4, 15, 13) if channels is None else (4, channels, 15, 13)
    first, second = np.random.default_rng(1).normal(size=(2, *shape))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 3.0}
    axis = None if channels is None else 0
    expected = [metrics.structural_similarity(a, b, channel_axis=axis, **options) for a, b in zip(first, second)]
    np.testing.assert_allclose(ssim(first, second, data_range=3.0, ranking="signed"), expected, rtol=1e-10)


def test_equal_maps_scale_and_symmetry(pair):
    np.testing.assert_allclose(ssim(pair[0], -pair[0]), 1, rtol=1e-12)
    value = ssim(*pair)
    assert ((value > -1) & (value < 1)).all()
    np.testing.assert_allclose(ssim(*pair[::-1]), value, rtol=1e-12)
    np.testing.assert_allclose(ssim(1e-200 * pair[0], 1e-200 * pair[1]), value, rtol=1e-9)


def test_constants_have_their_closed_form():
    flat = np.ones((3, 12, 12))
    np.testing.assert_allclose(ssim(flat, flat), 1)
    np.testing.assert_allclose(ssim(0 * flat, 0 * flat), 1)
    np.testing.assert_allclose(ssim(flat, 2 * flat), (4 + 1e-4) / (5 + 1e-4))  # the range is 1, the structure equal


def test_parts_and_tensors_agree(pair, monkeypatch):
    value = ssim(*pair)
    np.testing.assert_array_equal(ssim(*(torch.tensor(m, requires_grad=True) for m in pair)), value)
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 1)
    np.testing.assert_allclose(ssim(*pair), value, rtol=1e-12)


def test_unusable_maps_are_refused(pair):
    with pytest.raises(ValueError, match="one shape"):
        ssim(pair[0], pair[1][:, :-1])
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(np.ones((2, 10, 20)), np.ones((2, 10, 20)))
    with pytest.raises(ValueError, match="compares images"):
        ssim(np.ones((2, 20)), np.ones((2, 20)))
    with pytest.raises(ValueError, match="NaN"):
        ssim(pair[0], np.nan * pair[1])
    with pytest.raises(ValueError, match="data_range"):
        ssim(*pair, data_range=0.0)
    with pytest.raises(ValueError, match="Did you mean 'signed'"):
        ssim(*pair, ranking="signd")

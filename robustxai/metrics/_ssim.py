"""Structural similarity of two saliency maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import POSITIVE, Numbers, checked, optional
from robustxai.metrics._inputs import chunks, of_one_shape, plain_array
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING

#: Pixels on either side of the center, 3.5 standard deviations of 1.5: the window of 11 x 11 of the paper.
_RADIUS, _SIGMA = 5, 1.5


@checked(
    attribution=Numbers(finite=False),
    attribution_adv=Numbers(finite=False),
    data_range=optional(POSITIVE),
    ranking=RANKING,
)
def ssim(
    attribution: Any, attribution_adv: Any, *, data_range: float | None = None, ranking: Ranking = "magnitude"
) -> np.ndarray:
    r"""Structural similarity (SSIM) of two saliency maps: what the eye compares.

    .. math:: SSIM = \operatorname{mean}_p
        \frac{(2 \mu_a \mu_{a'} + c_1)(2 \sigma_{aa'} + c_2)}
        {(\mu_a^2 + \mu_{a'}^2 + c_1)(\sigma_a^2 + \sigma_{a'}^2 + c_2)}, \qquad
        c_1 = (0.01 L)^2, \; c_2 = (0.03 L)^2

    with the means and (co)variances in a Gaussian window of 11 x 11 pixels and standard deviation 1.5 around each
    pixel p whose window lies in the image, and L the data range. Channels are compared one by one and averaged.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n, height, width) or (n, channels, height, width)
        The explanations before and after, of at least 11 x 11 pixels.
    data_range : float, default=None
        L. By default, sample by sample, the largest minus the smallest value of the two maps together: the result
        then does not depend on the scale of an attribution, which has no natural one.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Whether the maps compared are \|a\|, as in ATEX, or a.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [-1, 1]; 1 for equal maps, also for two that are constant and equal.

    Raises
    ------
    ValueError
        If the arrays are no images of one shape and large enough, hold NaN, or `data_range` is not positive.

    References
    ----------
    Wang, Bovik, Sheikh & Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 2004. scikit-image has it as ``structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False)``. On explanations: ATEX (arXiv 2111.04303).

    Examples
    --------
    >>> import numpy as np
    >>> from robustxai.metrics import ssim
    >>> maps = np.random.default_rng(0).normal(size=(2, 16, 16))
    >>> ssim(maps, 2 * maps, data_range=1.0) < ssim(maps, maps)
    array([ True,  True])
    """
    attribution_adv = of_one_shape(attribution, attribution_adv)
    first, second = plain_array(attribution, "attribution"), plain_array(attribution_adv, "attribution_adv")
    smallest = 2 * _RADIUS + 1
    if first.ndim not in (3, 4) or min(first.shape[-2:]) < smallest:
        raise ValueError(
            f"ssim compares images, (n, h, w) or (n, c, h, w) of at least {smallest} x {smallest} pixels; "
            f"got {first.shape}."
        )
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("The attributions contain NaN; replace or drop those samples.")
    value = np.empty(len(first))
    for part in chunks(len(first), 6 * math.prod(first.shape[1:])):
        a, b = (torch.from_numpy(image[part].astype(np.float64)) for image in (first, second))
        if ranking == "magnitude":
            a, b = a.abs(), b.abs()
        value[part] = _mean_ssim(a, b, data_range).numpy()
    return value


def _mean_ssim(a: Tensor, b: Tensor, data_range: float | None) -> Tensor:
    pair = torch.stack([a.flatten(start_dim=1), b.flatten(start_dim=1)])
    values = pair.amax(dim=(0, 2)) - pair.amin(dim=(0, 2)) if data_range is None else torch.tensor(data_range).double()
    # two equal constants have no range, and any will do
    values = torch.where(values > 0, values, 1.0).expand(len(a)).view(-1, *(1,) * (a.ndim - 1))
    # in units of the range, so that tiny attributions do not underflow when they are squared
    a, b = a / values, b / values
    mean_a, mean_b, aa, bb, ab = (_smoothed(m) for m in (a, b, a * a, b * b, a * b))
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    covariance = 2 * (ab - mean_a * mean_b)
    structure = (covariance + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
    return (luminance * structure).flatten(start_dim=1).mean(dim=1)


def _smoothed(maps: Tensor) -> Tensor:
    """Gaussian means over the windows that lie in the image, shape (..., h - 10, w - 10)."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=maps.dtype)
    window = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    size = len(window)
    return maps.unfold(-1, size, 1).matmul(window).unfold(-2, size, 1).matmul(window)

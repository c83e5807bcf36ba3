"""Distance between the centers of mass of two saliency maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from robustxai._arguments import Numbers, checked
from robustxai.metrics._inputs import paired_scores


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False))
def center_of_mass_distance(attribution: Any, attribution_adv: Any) -> np.ndarray:
    r"""Distance in pixels between the centers of two saliency maps.

    .. math:: \|C(a) - C(a')\|_2, \qquad C(a) = \frac{\sum_{p} s_p \, p}{\sum_p s_p}

    over the pixels p = (row, column), with s the magnitude of the attribution summed over channels. Ghorbani's attack
    maximizes it. It distinguishes an explanation that moves to another place from one that selects other pixels nearby.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n, height, width) or (n, channels, height, width)
        The explanations before and after.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, the diagonal of the image]; NaN where either map is zero, which has no center.

    Raises
    ------
    ValueError
        If the arrays are no images of one shape, or hold NaN.

    References
    ----------
    Ghorbani, Abid & Zou, "Interpretation of Neural Networks is Fragile", AAAI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustxai.metrics import center_of_mass_distance
    >>> before, after = np.zeros((2, 1, 8, 8))
    >>> before[0, 1, 1] = after[0, 4, 5] = -2.0
    >>> center_of_mass_distance(before, after)
    array([5.])
    """
    shape = np.shape(attribution)
    if len(shape) not in (3, 4):
        raise ValueError(f"center_of_mass_distance needs images, (n, h, w) or (n, c, h, w); got {shape}.")
    places = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64, device="cpu") for size in shape[-2:]))
    centers = []
    for scores in paired_scores(attribution, attribution_adv, "magnitude"):
        mass = scores.double().cpu()
        mass = mass / mass.amax(dim=1, keepdim=True)  # tiny attributions keep their digits; a zero map becomes NaN
        centers.append(mass @ places / mass.sum(dim=1, keepdim=True))
    return torch.linalg.vector_norm(centers[0] - centers[1], dim=1).numpy()

"""Random displacements around a point, from one stream that does not depend on how it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from sklearn.utils import check_random_state

from robustxai._arguments import SEED, Choice, checked
from robustxai.protocols import Distribution

RandomState: TypeAlias = "int | np.random.RandomState | None"

DISTRIBUTIONS = ("uniform", "gaussian")
#: What may be given for `distribution`.
DISTRIBUTION = Choice(DISTRIBUTIONS)


@checked(distribution=DISTRIBUTION, random_state=SEED)
def displacement_sampler(
    n_features: int, epsilon: float, distribution: Distribution, random_state: RandomState
) -> Callable[[int], np.ndarray]:
    r"""A function that returns the next n displacements, float64 of shape (n, n_features).

    ``"uniform"`` is the l2 ball of radius epsilon, :math:`\epsilon u^{1/d} g / \|g\|_2`; ``"gaussian"`` is
    :math:`\epsilon g` with :math:`g \sim N(0, I)`, :math:`u \sim U(0, 1)`. Asking for 2 and then 3 gives the rows that
    asking for 5 gives: hence NumPy's generators, because the normals of a ``torch.Generator`` depend on the size of
    the request.
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    normal, uniform = (np.random.default_rng([seed, stream]) for stream in range(2))

    def sample(n: int) -> np.ndarray:
        direction = normal.standard_normal((n, n_features))
        if distribution == "gaussian":
            return epsilon * direction
        radius = epsilon * uniform.random((n, 1)) ** (1 / n_features)
        return radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)

    return sample

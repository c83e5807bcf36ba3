"""The shortest vector between two convex hulls: common descent of all gaps across the boundary of a top-k set."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["min_norm", "project_to_simplex"]

#: Steps between two looks at the gap, and the restart of the momentum.
_BLOCK = 25
#: Least square of a length that is resolved, as a share of that of the longest possible difference.
_RESOLUTION = 1e-6


def min_norm(
    inside: Tensor,
    outside: Tensor,
    tangent: Callable[[Tensor], Tensor] | None = None,
    *,
    max_iter: int = 200,
    tolerance: float = 1e-3,
    smallest: float = 0.0,
) -> tuple[Tensor, Tensor]:
    r"""Return the direction in which all differences ``inside_i - outside_j`` fall fastest, and what is left to gain.

    .. math:: d = P_T(-v^*), \qquad v^* \in \arg\min_{v \in V} \|P_T(-v)\|_2, \qquad
        V = \mathrm{conv}\{g_i - g_j\} = \mathrm{conv}\{g_i\} - \mathrm{conv}\{g_j\}

    with T a convex cone of feasible directions (all, by default) and P_T the projection onto it. Then
    :math:`\langle g_i - g_j, d \rangle \le -\|d\|^2` for all pairs, and d = 0 if and only if no direction of T lowers
    all of them. Every convex combination of the k(n-k) pairs is the difference of one of the k and one of the n-k
    vectors, so that the pairs are not enumerated.

    An accelerated projected gradient method on the two simplices, with a restart of the momentum.

    Parameters
    ----------
    inside : Tensor of shape (n, k, d)
        g_i.
    outside : Tensor of shape (n, m, d)
        g_j.
    tangent : callable, optional
        P_T, from vectors of shape (n, d) to vectors of that shape.
    max_iter : int, default=200
        Most steps.
    tolerance : float, default=1e-3
        The search of a row ends where the square of the length is known to within this share of itself.
    smallest : float, default=0.0
        Length below which no more accuracy is needed than at this length. In any case the square is not resolved below
        1e-6 of that of the longest possible difference.

    Returns
    -------
    direction : Tensor of shape (n, d)
        d.
    gap : Tensor of shape (n,)
        Upper bound of :math:`\|d\|^2 - \|d^*\|^2`, which is how far the least length may be below that of `direction`.
    """
    project = tangent if tangent is not None else _itself
    vertices = torch.cat([inside, -outside], dim=1)
    k = inside.shape[1]
    lengths = vertices.norm(dim=2)
    floor = _RESOLUTION * (lengths[:, :k].amax(dim=1) + lengths[:, k:].amax(dim=1)).square()
    # the Frobenius norm bounds the largest eigenvalue of the Gram matrix, which is the Lipschitz constant of the slope
    gram = vertices @ vertices.transpose(1, 2)
    rate = 1 / gram.square().sum(dim=(1, 2)).sqrt().clamp_min(torch.finfo(gram.dtype).tiny)
    shares = torch.cat(
        [torch.full_like(inside[..., 0], 1 / k), torch.full_like(outside[..., 0], 1 / outside.shape[1])], dim=1
    )

    def combined(weights: Tensor) -> Tensor:
        return (weights[:, None] @ vertices).squeeze(1)

    def gap_of(direction: Tensor) -> Tensor:
        slopes = (vertices @ direction[..., None]).squeeze(-1)
        return direction.square().sum(dim=1) + slopes[:, :k].amax(dim=1) + slopes[:, k:].amax(dim=1)

    direction = project(-combined(shares))
    gap = gap_of(direction)
    open_rows = torch.ones_like(gap, dtype=torch.bool)
    ahead, momentum = shares, 1.0
    for step in range(1, max_iter + 1):
        slopes = -(vertices @ project(-combined(ahead))[..., None]).squeeze(-1)
        moved = ahead - rate[:, None] * slopes
        new = torch.cat([project_to_simplex(moved[:, :k]), project_to_simplex(moved[:, k:])], dim=1)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        # where the last step turned back, the momentum of the row is dropped
        back = ((ahead - new) * (new - shares)).sum(dim=1, keepdim=True) > 0
        ahead = torch.where(back, new, new + (momentum - 1) / following * (new - shares))
        shares, momentum = new, following
        if step % _BLOCK == 0 or step == max_iter:
            latest = project(-combined(shares))
            # a row that has ended stays as it is, so that it does not depend on the rows beside it
            direction = torch.where(open_rows[:, None], latest, direction)
            gap = torch.where(open_rows, gap_of(latest), gap)
            enough = torch.maximum(tolerance * direction.square().sum(dim=1).clamp_min(smallest**2), floor)
            open_rows = open_rows & (2 * gap > enough)
            if not bool(open_rows.any()):
                break
    return direction, (2 * gap).clamp_min(0.0)


def project_to_simplex(points: Tensor) -> Tensor:
    """Return the nearest non-negative rows with a sum of one, shape (n, m)."""
    ordered = points.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - 1
    counts = torch.arange(1, points.shape[1] + 1, dtype=points.dtype, device=points.device)
    last = (ordered * counts > excess).sum(dim=1, keepdim=True)
    level = excess.gather(1, last - 1) / last
    return (points - level).clamp_min(0.0)


def _itself(vectors: Tensor) -> Tensor:
    return vectors

"""Leading eigenvectors of symmetric operators, sample by sample, by Lanczos's method."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

__all__ = ["leading_eigenvector"]


def leading_eigenvector(
    apply: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    batch_ndim: int,
    tol: float,
    max_iter: int,
    by_magnitude: bool = False,
) -> Tensor:
    r"""Compute unit eigenvectors of the largest eigenvalue of symmetric matrices A, one per sample, without a graph.

    .. math:: A Q_m = Q_m T_m + \beta_m q_{m+1} e_m^\top, \qquad T_m s = \theta s, \qquad
        v = Q_m s, \qquad \|A v - \theta v\|_2 = \beta_m |s_m|

    with :math:`Q_m` an orthonormal basis of the Krylov space of `start`; each new vector is orthogonalized against all
    earlier ones. An eigenvalue lies within the residual of :math:`\theta`. A sample has converged at the first checked
    m with a residual of at most :math:`\text{tol}\, |\theta|`, independently of the other samples, and always at m = d,
    where the basis is complete and the eigenvalue exact. Power iteration costs the same per step and needs about the
    square of the number of steps.

    Parameters
    ----------
    apply : callable
        Product with A, from a Tensor of shape (*batch, *features) to one of the same shape.
    start : Tensor of shape (*batch, *features)
        First vectors of the Krylov spaces; random vectors have a component along every eigenvector.
    batch_ndim : int
        Number of leading batch axes.
    tol : float
        Largest residual, as a share of the eigenvalue.
    max_iter : int
        Largest number of products with A; d if it is larger. Samples that have not converged by then get the current
        vectors.
    by_magnitude : bool, default=False
        Choose the eigenvalue of the largest magnitude, instead of the largest one.

    Returns
    -------
    Tensor of shape (*batch, *features)

    Warns
    -----
    ConvergenceWarning
        Samples have not converged after `max_iter` products.

    References
    ----------
    Golub and Van Loan, *Matrix computations*, Section 10.1.
    """
    batch, features = start.shape[:batch_ndim], start.shape[batch_ndim:]
    flat = start.detach().reshape(-1, features.numel())
    n, d = flat.shape
    eps = torch.finfo(flat.dtype).eps
    unit = flat / _length(flat).clamp_min(torch.finfo(flat.dtype).tiny)
    found, done = unit.clone(), torch.zeros(n, dtype=torch.bool, device=flat.device)
    basis: list[Tensor] = [unit]
    diagonal: list[Tensor] = []
    off_diagonal: list[Tensor] = []
    size = torch.zeros(n, 1, dtype=flat.dtype, device=flat.device)
    n_steps = min(max_iter, d)
    for m in range(1, n_steps + 1):
        image = apply(basis[-1].reshape(start.shape)).detach().reshape(n, d)
        diagonal.append((image * basis[-1]).sum(dim=1))
        size = torch.maximum(size, _length(image))
        image = _orthogonal(image, basis)
        length = _length(image)
        ended = length <= 8 * eps * size  # the subspace is invariant, and the rest is rounding
        if m == n_steps or _is_checked(m):
            residual = torch.where(ended, 0.0, length).squeeze(1)
            values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, off_diagonal))
            best = (values.abs() if by_magnitude else values).argmax(dim=1)
            value = values.gather(1, best[:, None]).squeeze(1)
            shares = vectors.gather(2, best[:, None, None].expand(-1, m, 1)).squeeze(2)
            reached = (residual * shares[:, -1].abs() <= tol * value.abs()) | torch.full_like(done, m == d)
            taken = ~done if m == n_steps else reached & ~done
            ritz = torch.einsum("mnd,nm->nd", torch.stack(basis), shares)
            found = torch.where(taken[:, None], ritz, found)
            done = done | reached
            if bool(done.all()):
                break
        if m < n_steps:
            # after an invariant subspace any other vector follows, and the matrix has two separate blocks
            other = _orthogonal(flat.roll(m, dims=1), basis)
            following = torch.where(ended, other, image)
            basis.append(following / _length(following).clamp_min(torch.finfo(flat.dtype).tiny))
            off_diagonal.append(torch.where(ended, 0.0, length).squeeze(1))
    if not bool(done.all()):
        warnings.warn(
            f"The largest eigenvalue of {int((~done).sum())} of {n} samples is not found to a relative residual of "
            f"{tol:g} after max_iter={max_iter} products, and may be too low. Raise max_iter "
            f"(the result is exact at {d}) or tol.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return (found / _length(found).clamp_min(torch.finfo(flat.dtype).tiny)).reshape(*batch, *features)


def _is_checked(m: int) -> bool:
    """Return True if convergence is checked after m steps; not after all, as a check costs as much as a product."""
    return m <= 2 or (m <= 16 and m % 2 == 0) or m % 8 == 0


def _orthogonal(rows: Tensor, basis: list[Tensor]) -> Tensor:
    """Remove from `rows` their components along the basis; twice, because rounding leaves some the first time."""
    stack = torch.stack(basis)
    for _ in range(2):
        rows = rows - torch.einsum("mn,mnd->nd", torch.einsum("mnd,nd->mn", stack, rows), stack)
    return rows


def _tridiagonal(diagonal: list[Tensor], off_diagonal: list[Tensor]) -> Tensor:
    matrix = torch.diag_embed(torch.stack(diagonal, dim=1))
    if off_diagonal:
        off = torch.stack(off_diagonal, dim=1)
        matrix = matrix + torch.diag_embed(off, offset=1) + torch.diag_embed(off, offset=-1)
    return matrix.nan_to_num(0.0, 0.0, 0.0)  # a sample with NaN in its products must not affect the other samples


def _length(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1, keepdim=True)

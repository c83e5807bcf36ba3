"""Certificates for smoothed rankings of any model and any explainer, which hold with a stated probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta, norm
from sklearn.utils.validation import check_random_state

from robustxai._arguments import COUNT, NOT_NEGATIVE, POSITIVE, SEED, Choice, Number, Rows, checked, optional
from robustxai._doubts import spread_of, warn_of_ball, warn_of_mismatch
from robustxai._frames import aligned, column_names, in_numbers, like
from robustxai._models import resolve_model
from robustxai._switches import own_switches
from robustxai.bounds import proven_overlap
from robustxai.certificates._problem import SMOOTHED_WAY
from robustxai.certificates._words import in_words, mean, of_k
from robustxai.perturbation import THREAT, ThreatModel, as_threat
from robustxai.protocols import Estimator, Ranking, Seed, SmoothedForm
from robustxai.ranking import RANKING, clip_k, count_units, top_k_indices, top_k_mask, unit_scores

__all__ = ["SmoothedCertificate", "certify_smoothed_top_k"]

#: Points that are explained in one call.
_POINTS_PER_CALL = 8192
#: Ball unless another is given.
_DEFAULT = ThreatModel(0.25)


@dataclass(frozen=True)
class SmoothedCertificate:
    """Proof about the smoothed ranking around each row; the statement about a row has confidence 1 - alpha.

    Attributes
    ----------
    precision_at_k : ndarray of shape (n_samples,)
        Proven lower bound on the overlap of `top_k` with the smoothed top-k set anywhere in the ball: the k units with
        the highest membership, or the k units that beat all others pairwise, where they exist.
    radius : ndarray of shape (n_samples,)
        l2 radius within which the smoothed top-k set is exactly `top_k`; 0 where that is uncertain at the row itself.
    top_k : ndarray of int of shape (n_samples, k)
        The estimated smoothed top-k set, highest first.
    pair_radius : ndarray of shape (n_samples, k, n_units - k)
        l2 radius within which a member stays above another unit; 0 where that is uncertain. The others are in the
        order of their index.
    scores : ndarray of shape (n_samples, n_units)
        Estimates: the share of draws in which a unit is in the top-k set, or the mean share of other units that it
        beats.
    threat : ThreatModel
        The ball. Its box was not used.
    sigma, alpha : float
    index, feature_names : Index, or None
        Rows and columns of X where it was a DataFrame.
    """

    precision_at_k: np.ndarray
    radius: np.ndarray
    top_k: np.ndarray
    pair_radius: np.ndarray
    scores: np.ndarray
    threat: ThreatModel
    sigma: float
    alpha: float
    index: Any = None
    feature_names: Any = None

    def __repr__(self) -> str:
        return (
            f"SmoothedCertificate({len(self.radius)} rows, epsilon={self.threat.epsilon:g}, sigma={self.sigma:g}, "
            f"alpha={self.alpha:g}, mean proven {of_k(self.top_k.shape[1])} {mean(self.precision_at_k):.3f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per sample, indexed as X: ``precision_at_k``, ``radius``, ``top_k`` (names or numbers)."""
        names = np.arange(self.scores.shape[1]) if self.feature_names is None else np.asarray(self.feature_names)
        frame = pd.DataFrame({"precision_at_k": self.precision_at_k, "radius": self.radius}, index=self.index)
        frame["top_k"] = pd.Series([tuple(names[row].tolist()) for row in self.top_k], frame.index, dtype=object)
        return frame

    def summary(self) -> str:
        """Describe the proof in a few lines of plain words and figures."""
        what = in_words(self.precision_at_k, self.top_k.shape[1], self.threat)
        radius = float(np.median(self.radius)) if len(self.radius) else float("nan")
        return (
            f"{what}\nThe ranking is that under noise of standard deviation {self.sigma:g}; each row's statement holds "
            f"with probability {1 - self.alpha:g}. Median radius {radius:.3g}."
        )


_ALPHA = Number(0, 1, above=True, below=True, advice="It is the probability of being wrong, and must be below 1.")


@checked(
    X=Rows(),
    k=COUNT,
    threat=THREAT,
    epsilon=optional(NOT_NEGATIVE),
    sigma=POSITIVE,
    n_draws=COUNT,
    alpha=_ALPHA,
    form=Choice(get_args(SmoothedForm)),
    ranking=RANKING,
    random_state=SEED,
)
@own_switches()
def certify_smoothed_top_k(
    estimator: Estimator | Callable[[Any], Any],
    X: Any,
    k: int = 8,
    *,
    threat: ThreatModel | None = None,
    epsilon: float | None = None,
    sigma: float = 0.25,
    n_draws: int = 2000,
    alpha: float = 0.001,
    form: SmoothedForm = "membership",
    ranking: Ranking = "magnitude",
    random_state: Seed = 0,
) -> SmoothedCertificate:
    r"""Prove how much of the *smoothed* top-k set of each row stays within an l2 ball, with probability 1 - alpha.

    The ranking under Gaussian noise is certified, not the explanation at the point itself. For any quantity s with
    values in [0, 1], :math:`x \mapsto \sigma \Phi^{-1}(\mathbb{E}\, s(x + \sigma Z))` is 1-Lipschitz:

    * "membership": :math:`c_i = P(i \in \text{top-}k(x + \sigma Z))`, and units are ranked by c. Unit i stays above j
      for :math:`\rho < \tfrac{\sigma}{2} (\Phi^{-1}(c_i) - \Phi^{-1}(c_j))`.
    * "pairwise": :math:`p_{ij} = P(I_i(x + \sigma Z) > I_j(x + \sigma Z))`, and i ranks above j where it wins more
      often than not. It stays above j for :math:`\rho < \sigma \Phi^{-1}(p_{ij})`. This :math:`p_{ij}` is the Gaussian
      ranking thickness of the pair at the end of the path: thickness *is* a certified radius of the smoothed ranking.

    Probabilities are bounded by Clopper and Pearson's intervals, with alpha divided over all statements about a row, so
    that the top set may be chosen from the same draws. With a `scale` the noise has the standard deviation
    :math:`\sigma s_i` in feature i, and frozen features have no noise: the proof is then the one above for the inputs
    :math:`x / s`.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search, or callable
        A classifier's ``explain(points, y=label)`` is called with the label that it predicts at the row (of a Pipeline
        the last step's, at the output of the other steps). A callable gets points of shape (m, *features) and returns
        attributions of that shape: any model, any explainer.
    X : array-like of shape (n_samples, *features)
        Centers.
    k : int, default=8
        Size of the top set; clipped with a warning when there are not more units than that.
    threat : ThreatModel, optional
        Perturbations that are covered; ``ThreatModel(0.25)`` by default. The norm must be 2. The box is not used: the
        ball without it contains the ball with it.
    epsilon : float, optional
        Shorthand for ``threat=ThreatModel(epsilon)``.
    sigma : float, default=0.25
        Standard deviation of the noise. A larger one certifies larger radii of a ranking that is farther from the
        explanation at the point.
    n_draws : int, default=2000
        Draws. If all agree, the radius is about ``sigma * norm.ppf(alpha ** (1 / n_draws))``, about 2.5 sigma.
    alpha : float, default=0.001
        Probability, for each row, that its certificate is wrong.
    form : {"membership", "pairwise"}, default="membership"
        Smoothed ranking that is certified.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked in every draw.
    random_state : int, RandomState or None, default=0
        Seed of the noise, which all rows share.

    Returns
    -------
    SmoothedCertificate

    Raises
    ------
    NotImplementedError
        A threat model of another norm than 2.

    References
    ----------
    Levine, Singla and Feizi, *Certifiably robust interpretation in deep learning*, 2019 (membership, with Hoeffding's
    bound); Salman et al., *Provably robust deep learning via adversarially trained smoothed classifiers*, 2019 (the
    lemma); Clopper and Pearson, 1934.

    Examples
    --------
    The attribution is the input itself; the first two units change places at a distance of 1 / sqrt(2).

    >>> import numpy as np
    >>> X = np.array([[1.0, 0.0]])
    >>> certificate = certify_smoothed_top_k(lambda points: points, X, k=1, sigma=0.5, ranking="signed")
    >>> bool(0.55 < certificate.radius[0] < 0.7072)
    True
    """
    threat = as_threat(threat, epsilon=epsilon, default=_DEFAULT)
    if threat.norm != 2:
        raise NotImplementedError(
            "certify_smoothed_top_k proves statements about l2 balls. Use ThreatModel(norm=2), or certify_top_k."
        )
    if not _is_function(estimator):
        estimator, X = resolve_model(
            estimator,
            X,
            needs=("predict", "explain"),
            what="certify_smoothed_top_k",
            way=SMOOTHED_WAY,
        )
    with in_numbers(X):
        rows = np.asarray(X, dtype=np.float32)
    if rows.ndim < 2 or not len(rows):
        raise ValueError(f"X must have shape (n_samples, *features) and at least one sample, got {rows.shape}.")
    names, spread = column_names(X), spread_of(estimator, rows)
    plain = threat.scale is None and threat.frozen is None
    units = np.ones(rows.shape[1:]) if plain else threat.units(rows, names)
    n_free = rows[0].size if plain else int((units > 0).sum())
    for name, radius in (("epsilon", threat.epsilon), ("sigma", sigma * np.sqrt(n_free))):
        warn_of_ball(name, radius, spread, unit=units, names=names)
    warn_of_mismatch(estimator, "The certificate", k=min(k, max(count_units(rows.shape[1:]) - 1, 1)), ranking=ranking)
    noise = check_random_state(random_state).standard_normal((n_draws, *rows.shape[1:])).astype(np.float32)
    if not plain:
        noise *= units.astype(np.float32)
    parts = []
    for row in rows:
        draws = _draws(estimator, X, row, row + np.float32(sigma) * noise, ranking)
        certify = _membership if form == "membership" else _pairwise
        parts.append(certify(draws, clip_k(k, draws.shape[1]), sigma, alpha))
    top, radii, scores = (np.stack(values) for values in zip(*parts))
    kept = proven_overlap(torch.from_numpy(radii > threat.epsilon)).numpy()
    return SmoothedCertificate(
        kept / radii.shape[1],
        radii.min(axis=(1, 2), initial=np.inf),
        top,
        radii,
        scores,
        threat,
        sigma,
        alpha,
        X.index if isinstance(X, pd.DataFrame) else None,
        column_names(X),
    )


def _draws(estimator: Any, X: Any, row: np.ndarray, points: np.ndarray, ranking: Ranking) -> torch.Tensor:
    """Return unit scores of the explanation at every point, shape (n_draws, n_units)."""
    explain: Callable[[Any], Any] = estimator
    if hasattr(estimator, "explain"):
        label = estimator.predict(like(X, row[None]))[0]

        def explain(part: Any) -> Any:
            return estimator.explain(part, y=label)

    parts = []
    for part in np.split(points, range(_POINTS_PER_CALL, len(points), _POINTS_PER_CALL)):
        given = like(X, part)
        parts.append(aligned(given, explain(given), ("X", "the explanation"), by_rows=False))
    attribution = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
    if attribution.shape != points.shape:
        raise ValueError(f"The explanation of points of shape {points.shape} has shape {attribution.shape}.")
    if np.isnan(attribution).any():
        raise ValueError("The explanation of a noisy point is NaN, which has no rank.")
    return unit_scores(torch.from_numpy(attribution), ranking)


def _is_function(estimator: Any) -> bool:
    """Tell a function that explains points from a model or a class."""
    model = isinstance(estimator, (type, torch.nn.Module)) or hasattr(estimator, "fit") or hasattr(estimator, "explain")
    return callable(estimator) and not model


def _membership(draws: torch.Tensor, k: int, sigma: float, alpha: float) -> tuple[np.ndarray, ...]:
    n_draws, n_units = draws.shape
    counts = top_k_mask(draws, k).sum(dim=0).numpy()
    top, rest = _divide(counts, k)
    level = alpha / (2 * n_units)
    lower, upper = _lower(counts, n_draws, level), 1 - _lower(n_draws - counts, n_draws, level)
    radii = sigma / 2 * (norm.ppf(lower[top])[:, None] - norm.ppf(upper[rest])[None])
    return top, radii.clip(min=0), counts / n_draws


def _pairwise(draws: torch.Tensor, k: int, sigma: float, alpha: float) -> tuple[np.ndarray, ...]:
    n_draws, n_units = draws.shape
    # the place in the sorted scores counts the units that a unit beats, without a matrix of all pairs
    below = sum(torch.searchsorted(draw.sort().values, draw) for draw in draws)
    score = np.asarray(below) / (n_draws * max(n_units - 1, 1))
    top, rest = _divide(score, k)
    level = alpha / max(len(top) * len(rest), 1)
    others = draws[:, rest]
    wins = torch.stack([(draws[:, [unit]] > others).sum(dim=0) for unit in top]).numpy()
    radii = sigma * norm.ppf(_lower(wins, n_draws, level))
    return top, radii.clip(min=0), score


def _divide(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the k highest, highest first, and of the others in their order."""
    top = top_k_indices(torch.from_numpy(np.asarray(scores, dtype=np.float64))[None], k)[0].numpy()
    return top, np.setdiff1d(np.arange(len(scores)), top)


def _lower(counts: np.ndarray, n: int, level: float) -> np.ndarray:
    """Return Clopper and Pearson's lower bound of a probability, wrong with probability `level` at most."""
    return np.where(counts > 0, beta.ppf(level, counts, n - counts + 1), 0.0)

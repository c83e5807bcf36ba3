"""Bracket of the true P@k: certified P@k <= true P@k <= attacked P@k, row by row, on real tables."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    POSITIVE,
    Choice,
    Each,
    Instance,
    PathName,
    Text,
    check_arguments,
    checked,
)
from robustxai.attacks import AutoExplanationAttack, ERAttack, RandomAttack
from robustxai.benchmark import (
    DEFENSES,
    EXPLAINED_BY,
    TABLES,
    TRAINED_ON,
    BaseCell,
    Cell,
    Data,
    UserTable,
    announce,
    fit_model,
    key,
    run_cells,
    stem,
)
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.exceptions import EvaluationWarning, FailedCellsError
from robustxai.metrics import (
    between_rows_precision,
    chance_corrected_precision,
    commonest_top_k_share,
    comprehensiveness,
    decision_flip_fraction,
    distinct_top_k_sets,
    prediction_sensitivity,
    roc_auc,
    sufficiency,
)
from robustxai.perturbation import ThreatModel
from robustxai.protocols import AttackPreset, MeasuredExplainer, TrainingExplainer

__all__ = ["Bracket", "BracketCell", "run_bracket_cell"]

#: Presets of the attack for P@k, and for the radius, which runs it at many radii.
_PRESETS: tuple[AttackPreset, AttackPreset] = ("standard", "fast")
#: Largest radius of the searches; a row whose top set no attack changes up to here has no attack radius.
_MAX_RADIUS = 2.0
#: Number of radii that the attack tries, each 0.8 times the previous one: the smallest is 0.012.
_LEVELS = 24
#: Steps of the papers' attack from the center to the edge of the ball.
_PAPER_STEPS = 200


@dataclass(frozen=True)
class BracketCell(BaseCell):
    """One model, trained once, with its bracket at every radius.

    Rows are split, imputed, scaled and encoded as in :class:`Cell`; the defense is at its defaults.

    Parameters
    ----------
    data : str or UserTable
        Name of a table, or a user's file.
    defense : str
        Name from ``DEFENSES``; its model must explain itself.
    seed : int
        Seed of the split, the training and the attacks.
    epsilons : tuple of float
        l2 radii; features lie in [0, 1].
    k : int, default=8
        Size of the top set.
    n_rows : int, default=100
        Test rows that are certified and attacked.
    explainer, training_explainer : str, default="gradient" and "same"
        As in :class:`Cell`. Without a certificate for the explanation, the certified figures are NaN.
    """

    data: Data
    defense: str
    seed: int
    epsilons: tuple[float, ...]
    k: int = 8
    n_rows: int = 100
    explainer: MeasuredExplainer = "gradient"
    training_explainer: TrainingExplainer = "same"

    #: The median radius is infinite if no attack changes half of the rows.
    may_be_infinite: ClassVar[tuple[str, ...]] = ("attack_radius",)

    _constraints = {
        "data": Instance((str, UserTable)),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "epsilons": Each(POSITIVE, least=1),
        "k": COUNT,
        "n_rows": COUNT,
        "explainer": EXPLAINED_BY,
        "training_explainer": TRAINED_ON,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"bracket-{self.n_rows}-{self.model().label()}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        attacks = [_attacks(None, self, epsilon) for epsilon in self.epsilons]
        return self.model().digest, attacks, _radius_attack(None, self), _LEVELS

    def model(self) -> Cell:
        """Return the cell that trains the model."""
        how: dict[str, Any] = {"explainer": self.explainer, "training_explainer": self.training_explainer}
        return Cell(self.data, self.defense, self.seed, (), k=self.k, n_rows=self.n_rows, **how)

    def group(self) -> Any:
        """As `BaseCell.group`."""
        return self.model().group()


@checked(cell=Instance(BracketCell))
def run_bracket_cell(cell: BracketCell) -> dict[str, Any]:
    """Train once, then certify and attack at every radius; return a row with one dict per radius in ``points``.

    Raises
    ------
    AssertionError
        A certificate and an attack contradict each other in some row. This is a defect of the library, never of the
        data.
    """
    model = fit_model(cell.model())
    estimator, X_test, y_test = model.explained_by(cell.explainer), model.X_test, model.y_test
    X = X_test[: cell.n_rows]
    attribution = estimator.explain(X)
    between = between_rows_precision(attribution, cell.k)
    return {
        **asdict(cell),
        "data": stem(cell.data),
        "training_explainer": cell.model().model().explainer,
        "n_rows": len(X),
        "n_features": X.shape[1],
        "fit_seconds": model.seconds,
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "comprehensiveness": float(comprehensiveness(estimator, X).mean()),
        "sufficiency": float(sufficiency(estimator, X).mean()),
        "decision_flip_fraction": float(decision_flip_fraction(estimator, X).mean()),
        "between_rows_precision": between,
        "distinct_top_k_sets": distinct_top_k_sets(attribution, cell.k),
        "commonest_top_k_share": commonest_top_k_share(attribution, cell.k),
        **_radii(estimator, X, cell),
        "points": [_point(estimator, X, cell, epsilon, between) for epsilon in cell.epsilons],
    }


def _attacks(estimator: Any, cell: BracketCell, epsilon: float) -> tuple[Any, Any, Any]:
    """Build the ensemble, the papers' attack (equal steps outwards, last iterate) and random directions."""
    threat = ThreatModel(epsilon, norm=2, bounds=(0.0, 1.0))
    options: dict[str, Any] = {"k": cell.k, "threat": threat, "random_state": cell.seed}
    steps: dict[str, Any] = {"max_iter": _PAPER_STEPS, "step_size": epsilon / _PAPER_STEPS, "momentum": 0.0}
    return (
        AutoExplanationAttack(estimator, preset=_PRESETS[0], **options),
        ERAttack(estimator, keep="last", **steps, **options),
        RandomAttack(estimator, **options),
    )


def _radius_attack(estimator: Any, cell: BracketCell) -> AutoExplanationAttack:
    threat = ThreatModel(_MAX_RADIUS)
    return AutoExplanationAttack(estimator, k=cell.k, threat=threat, preset=_PRESETS[1], random_state=cell.seed)


def _point(estimator: Any, X: np.ndarray, cell: BracketCell, epsilon: float, between: float) -> dict[str, Any]:
    """Return both ends of the bracket at one radius, and the results of the other attacks."""
    method, proven = _certified(estimator, X, cell.k, epsilon)
    ensemble, paper, random = _attacks(estimator, cell, epsilon)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", EvaluationWarning)
        result = ensemble.run(X)
    attacked, published = result.precision_at_k, paper.run(X).precision_at_k
    lowest = np.minimum(attacked, published)
    _check_order(proven, lowest, f"P@{cell.k} at epsilon {epsilon:g}", cell)
    return {
        "epsilon": epsilon,
        "method": method,
        "preset": _PRESETS[0],
        "certified": float(proven.mean()),
        "attacked": float(attacked.mean()),
        "er_paper": float(published.mean()),
        "random": float(random.run(X).precision_at_k.mean()),
        "corrected_attacked": chance_corrected_precision(float(attacked.mean()), between),
        "prediction_sensitivity": float(prediction_sensitivity(estimator, X, result.X_adv).mean()),
        "fully_certified": float(np.where(np.isnan(proven), np.nan, proven >= 1).mean()),
        "er_paper_lower": float((published < attacked - 1e-9).mean()),
        "warning": " ".join(str(warning.message) for warning in caught),
    }


def _certified(estimator: Any, X: np.ndarray, k: int, epsilon: float) -> tuple[str, np.ndarray]:
    """Return the method of the certificate and the proven P@k of every row; NaN without a certificate."""
    try:
        certificate = certify_top_k(estimator, X, k, epsilon=epsilon, norm=2, method="best")
    except NotImplementedError:
        return "none", np.full(len(X), np.nan)
    return certificate.method, certificate.precision_at_k


def _radii(estimator: Any, X: np.ndarray, cell: BracketCell) -> dict[str, float]:
    """Return medians over rows of the certified radius, of the attack's radius, and of their ratio.

    The ratio uses the rows with an attack radius. As the certificate permits, the attack may leave the data's box and
    change the prediction.
    """
    try:
        proven = certified_radius(estimator, X, cell.k, norm=2, max_epsilon=_MAX_RADIUS)
    except NotImplementedError:
        proven = np.full(len(X), np.nan)
    attack = _radius_attack(estimator, cell)
    found = attack.minimum_radius(X, n_levels=_LEVELS, keep_prediction=False)
    _check_order(proven, found, "radius", cell, slack=1e-6)  # rounding of float32 inputs
    finite = np.isfinite(found)
    return {
        "certified_radius": float(np.median(proven)),
        "attack_radius": float(np.median(found)),
        "radius_ratio": float(np.median(proven[finite] / found[finite])) if finite.any() else float("nan"),
        "has_attack_radius": float(finite.mean()),
    }


def _check_order(proven: np.ndarray, found: np.ndarray, what: str, cell: BracketCell, slack: float = 1e-9) -> None:
    wrong = np.flatnonzero(proven > found + slack)
    if len(wrong):
        row = wrong[0]
        raise AssertionError(
            f"{cell.data}, {cell.defense}, seed {cell.seed}: the certified {what} of row {row} is {proven[row]:.6g}, "
            f"but an attack found {found[row]:.6g} ({len(wrong)} of {len(proven)} rows). One of them is wrong."
        )


@dataclass(frozen=True)
class Bracket:
    """Bounds on the true P@k of models at their defaults: a certificate from below, attacks from above.

    In every row, certified P@k <= true P@k <= attacked P@k. The true P@k is the lowest over all perturbations within
    the ball that keep the prediction and leave the features in [0, 1]. The certificate covers all perturbations within
    the ball, a larger set. For comparison, the results have the papers' attack (the summed gap, equal steps outwards,
    last iterate) and random directions.

    Parameters
    ----------
    data : tuple of str or UserTable
        Names of tables, or users' files.
    defenses : tuple of str
        Names from ``DEFENSES`` whose models explain themselves.
    seeds : int, default=3
        Seeds 0 ... seeds-1, each with its own split.
    epsilons : tuple of float, default=(0.05, 0.1, 0.25, 0.5, 1.0)
        l2 radii, on features in [0, 1].
    k : int, default=8
        Size of the top set.
    n_rows : int, default=100
        Test rows of every model that are certified and attacked.
    explainers : tuple of str, default=("gradient",)
        Explanations that are bracketed, as in :class:`Cell`; a model is trained for the one that is bracketed.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), a defense without explanations, or a number out of its
        range.
    """

    data: tuple[Data, ...] = ("adult", "bank", "compas", "breast_cancer")
    defenses: tuple[str, ...] = (
        "logistic_regression",
        "vanilla",
        "weight_decay",
        "softplus",
        "softplus_weight_decay",
        "estimated_hessian",
        "r2et",
        "certified_r2et",
    )
    seeds: int = 3
    epsilons: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 1.0)
    k: int = 8
    n_rows: int = 100
    explainers: tuple[MeasuredExplainer, ...] = ("gradient",)

    _constraints = {
        "data": TABLES,
        "defenses": Each(Choice(DEFENSES, kind="defense"), least=1),
        "seeds": COUNT,
        "epsilons": Each(POSITIVE, least=1, called="epsilon"),
        "k": COUNT,
        "n_rows": COUNT,
        "explainers": Each(EXPLAINED_BY, least=1, called="explainer"),
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")
        for defense in self.defenses:
            if not hasattr(DEFENSES[defense](self.k, 0), "explain"):
                raise ValueError(
                    f"{defense} has no explanations of its own, so that there is nothing to bracket. Leave it out."
                )

    def cells(self) -> list[BracketCell]:
        """Return all cells, data set by data set, so that a stopped run leaves complete tables."""
        rest = (tuple(self.epsilons), self.k, self.n_rows)
        grid = product(self.data, self.explainers, range(self.seeds), self.defenses)
        cells = {(key(d), e, s, m): BracketCell(d, m, s, *rest, explainer=e) for d, e, s, m in reversed(list(grid))}
        return list(reversed(cells.values()))  # a table given twice counts once

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`.

        Parameters
        ----------
        out : path
            Folder for the results.
        **options
            `n_jobs`, `scheduler` and `progress` as in :func:`run_cells`.

        Returns
        -------
        DataFrame
            One row per cell and epsilon. Means over rows of P@k: ``certified``, ``attacked``, ``er_paper``,
            ``random``; ``fully_certified`` and ``er_paper_lower`` are shares of rows (the papers' attack below
            ``attacked``). ``corrected_attacked`` is (attacked - B) / (1 - B), ``prediction_sensitivity`` the mean
            change of the predicted class's probability at the ensemble's points. ``method`` is the method of the
            certificate; ``preset`` and ``warning`` are the preset and the warnings of the attack. The other columns
            belong to the model and are equal at every epsilon: AUC, faithfulness, B = ``between_rows_precision`` (the
            P@k between the explanations of two different rows), ``distinct_top_k_sets``,
            ``commonest_top_k_share``, and medians of the certified radius, of the attack's radius (infinite if more
            than half of the rows have none), and of their ratio over the rows that have both.
        """
        announce(self.data)
        try:
            return _long(run_cells(self.cells(), out, run=run_bracket_cell, **options))
        except FailedCellsError as error:
            raise FailedCellsError(error.sentences, error.summary, _long(error.rows)) from error


def _long(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell and epsilon."""
    if cells.empty:
        return cells
    long = cells.drop(columns="epsilons").explode("points", ignore_index=True)
    return long.drop(columns="points").join(pd.DataFrame(long["points"].tolist()))

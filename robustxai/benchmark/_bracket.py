"""The bracket: proven P@k <= true P@k <= attacked P@k, row by row, on real tables."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai._validation import check_number
from robustxai.attacks import AutoExplanationAttack, ERAttack, RandomAttack
from robustxai.benchmark._cell import Cell, prepare_rows
from robustxai.benchmark._experiment import check_names, run_cells
from robustxai.benchmark._registry import DEFENCES
from robustxai.benchmark._user_table import Data, announce, check_data, key, stem
from robustxai.certificates import certified_radius, certify_top_k
from robustxai.exceptions import EvaluationWarning, FailedCellsError
from robustxai.metrics import comprehensiveness, decision_flip_fraction, roc_auc, sufficiency
from robustxai.perturbation import ThreatModel

__all__ = ["Bracket", "BracketCell", "bracket_markdown", "bracket_summary", "run_bracket_cell"]


#: Raised by one whenever a change of this file makes older results incomparable.
_PROTOCOL = 2
#: Presets of the attack for P@k, and for the radius, which takes it at many radii.
_PRESETS = ("standard", "fast")
#: Where the searches for a radius begin; a row that nothing changed up to here has no attack radius.
_MAX_RADIUS = 2.0
#: Radii that the attack tries from there down, each 0.8 of the one before: the last is 0.012.
_LEVELS = 24
#: Steps of the papers' attack from the centre to the edge of the ball.
_PAPER_STEPS = 200


@dataclass(frozen=True)
class BracketCell:
    """One model, trained once, with its bracket at every radius.

    Rows are split, imputed, scaled and encoded as in :class:`Cell`; the defence is at its defaults.

    Parameters
    ----------
    data : str or UserTable
        Name of a table, or a user's file.
    defence : str
        Name from ``DEFENCES``; its model must explain itself.
    seed : int
        Of the split and of the training.
    epsilons : tuple of float
        l2 radii; features lie in [0, 1].
    k : int, default=8
        Size of the top set.
    n_rows : int, default=100
        Test rows that are certified and attacked.
    """

    data: Data
    defence: str
    seed: int
    epsilons: tuple[float, ...]
    k: int = 8
    n_rows: int = 100

    @property
    def name(self) -> str:
        """File name of the result; the digest changes with anything that could change the numbers."""
        fields = (self.epsilons, _PRESETS, _MAX_RADIUS, _LEVELS, _PAPER_STEPS, _PROTOCOL)
        digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]
        return f"bracket-{digest}-{self.model().name}"

    def model(self) -> Cell:
        """The cell that trains the model."""
        return Cell(self.data, self.defence, self.seed, (), k=self.k, n_attacked=self.n_rows)


def run_bracket_cell(cell: BracketCell) -> dict[str, Any]:
    """Train once, then prove and attack at every radius; ``points`` has one dict for each of them.

    Raises
    ------
    AssertionError
        A proof and an attack contradict each other in some row. One of them is wrong then: this is a defect of the
        library, never of the data.
    """
    model = cell.model()
    X_train, X_test, y_train, y_test = prepare_rows(model)
    start = time.perf_counter()
    estimator = model.estimator().fit(X_train, y_train)
    seconds = time.perf_counter() - start
    X = X_test[: cell.n_rows]
    return {
        **asdict(cell),
        "data": stem(cell.data),
        "n_rows": len(X),
        "n_features": X.shape[1],
        "fit_seconds": seconds,
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "comprehensiveness": float(comprehensiveness(estimator, X).mean()),
        "sufficiency": float(sufficiency(estimator, X).mean()),
        "decision_flip_fraction": float(decision_flip_fraction(estimator, X).mean()),
        **_radii(estimator, X, cell),
        "points": [_point(estimator, X, cell, epsilon) for epsilon in cell.epsilons],
    }


def _point(estimator: Any, X: np.ndarray, cell: BracketCell, epsilon: float) -> dict[str, Any]:
    """Both ends of the bracket at one radius, and what others would have reported."""
    options: dict[str, Any] = {"k": cell.k, "threat": _threat(epsilon), "random_state": cell.seed}
    certificate = certify_top_k(estimator, X, cell.k, epsilon=epsilon, norm=2, method="best")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", EvaluationWarning)
        attacked = AutoExplanationAttack(estimator, preset=_PRESETS[0], **options).run(X).precision_at_k
    paper = ERAttack(
        estimator, max_iter=_PAPER_STEPS, step_size=epsilon / _PAPER_STEPS, momentum=0.0, keep="last", **options
    )
    published = paper.run(X).precision_at_k
    lowest = np.minimum(attacked, published)
    _check_order(certificate.precision_at_k, lowest, f"P@{cell.k} at epsilon {epsilon:g}", cell)
    return {
        "epsilon": epsilon,
        "method": certificate.method,
        "preset": _PRESETS[0],
        "certified": float(certificate.precision_at_k.mean()),
        "attacked": float(attacked.mean()),
        "er_paper": float(published.mean()),
        "random": float(RandomAttack(estimator, **options).run(X).precision_at_k.mean()),
        "fully_certified": float((certificate.precision_at_k >= 1).mean()),
        "er_paper_lower": float((published < attacked - 1e-9).mean()),
        "warning": " ".join(str(warning.message) for warning in caught),
    }


def _radii(estimator: Any, X: np.ndarray, cell: BracketCell) -> dict[str, float]:
    """Medians over rows of the proven radius and of the attack's, and of their ratio where the attack has one.

    The attack may do here what the proof allows: leave the data's box, and change the prediction.
    """
    proven = certified_radius(estimator, X, cell.k, norm=2, max_epsilon=_MAX_RADIUS)
    attack = AutoExplanationAttack(
        estimator, k=cell.k, threat=ThreatModel(_MAX_RADIUS), preset=_PRESETS[1], random_state=cell.seed
    )
    found = attack.minimum_radius(X, n_levels=_LEVELS, keep_prediction=False)
    _check_order(proven, found, "radius", cell, slack=1e-6)  # that of float32 inputs
    finite = np.isfinite(found)
    return {
        "certified_radius": float(np.median(proven)),
        "attack_radius": float(np.median(found)),
        "radius_ratio": float(np.median(proven[finite] / found[finite])) if finite.any() else float("nan"),
        "has_attack_radius": float(finite.mean()),
    }


def _threat(epsilon: float) -> ThreatModel:
    return ThreatModel(epsilon, norm=2, bounds=(0.0, 1.0))


def _check_order(proven: np.ndarray, found: np.ndarray, what: str, cell: BracketCell, slack: float = 1e-9) -> None:
    wrong = np.flatnonzero(proven > found + slack)
    if len(wrong):
        row = wrong[0]
        raise AssertionError(
            f"{cell.data}, {cell.defence}, seed {cell.seed}: the proven {what} of row {row} is {proven[row]:.6g}, but "
            f"an attack found {found[row]:.6g} ({len(wrong)} of {len(proven)} rows). Certificate or attack is wrong."
        )


@dataclass(frozen=True)
class Bracket:
    """What is known of the true P@k of models at their defaults: proven from below, attacked from above.

    In every row certified P@k <= true P@k <= attacked P@k, where the true one is the lowest over all perturbations
    within the ball that keep the prediction and leave the features in [0, 1]. The certificate asks for neither, and
    holds all the same. Beside them: the papers' attack (the summed gap in equal steps outwards, last iterate) and
    random directions.

    Parameters
    ----------
    data : tuple of str or UserTable
        Names of tables, or users' files.
    defences : tuple of str
        Names from ``DEFENCES`` whose models explain themselves.
    seeds : int, default=3
        Seeds 0 ... seeds-1, each with its own split.
    epsilons : tuple of float, default=(0.05, 0.1, 0.25, 0.5, 1.0)
        l2 radii, on features in [0, 1].
    k : int, default=8
        Size of the top set.
    n_rows : int, default=100
        Test rows of every model that are certified and attacked.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), a defence without explanations, or a number out of its
        range.
    """

    data: tuple[Data, ...] = ("adult", "bank", "compas", "breast_cancer")
    defences: tuple[str, ...] = (
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

    def __post_init__(self) -> None:
        check_data(self.data)
        check_names("defence", self.defences, DEFENCES)
        for name in ("data", "defences", "epsilons"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: nothing to do.")
        for name in ("seeds", "k", "n_rows"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        for epsilon in self.epsilons:
            check_number("epsilon", epsilon, minimum=0.0, inclusive=False)
        for defence in self.defences:
            if not hasattr(DEFENCES[defence](self.k, 0), "explain"):
                raise ValueError(f"{defence} has no explanations of its own, so that there is nothing to bracket.")

    def cells(self) -> list[BracketCell]:
        """All cells, data set by data set, so that a stopped run leaves whole tables behind."""
        rest = (tuple(self.epsilons), self.k, self.n_rows)
        grid = product(self.data, range(self.seeds), self.defences)
        cells = {(key(d), s, m): BracketCell(d, m, s, *rest) for d, s, m in reversed(list(grid))}
        return list(reversed(cells.values()))  # a table given twice counts once

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
            ``attacked``). ``method`` is that of the certificate; ``preset`` and ``warning`` are the attack's, how hard
            it tried and what it had to say. The rest is the model's, and the same at every epsilon: AUC,
            faithfulness, and medians of the proven radius, of the attack's (infinite where more than half of the rows
            withstood), and of their ratio over the rows that have both.
        """
        announce(self.data)
        try:
            return _long(run_cells(self.cells(), out, run=run_bracket_cell, **options))
        except FailedCellsError as error:
            raise FailedCellsError(error.sentences, error.summary, _long(error.rows)) from error


def _long(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and epsilon."""
    if cells.empty:
        return cells
    long = cells.drop(columns="epsilons").explode("points", ignore_index=True)
    return long.drop(columns="points").join(pd.DataFrame(long["points"].tolist()))


#: Heading and column of what a model is worth beside its stability.
_MODEL = (
    ("AUC", "roc_auc", 4),
    ("COMP ↑", "comprehensiveness", 3),
    ("SUFF ↓", "sufficiency", 3),
    ("DFFOT ↓", "decision_flip_fraction", 3),
)
_POINT_COLUMNS = (
    ("certified", "certified", 3),
    ("attacked", "attacked", 3),
    ("gap", "gap", 3),
    ("papers' attack", "er_paper", 3),
    ("random", "random", 3),
    ("rows proven whole", "fully_certified", 2),
)
_RADIUS_COLUMNS = (
    ("proven radius", "certified_radius", 4),
    ("attack radius", "attack_radius", 4),
    ("ratio", "radius_ratio", 2),
    ("rows with attack radius", "has_attack_radius", 2),
)


def bracket_markdown(results: pd.DataFrame) -> str:
    """Two tables per data set in Markdown, mean ± s.d. over seeds: P@k at every radius, and the radii themselves.

    AUC and faithfulness stand in every line, because a linear or collapsed model is proven stable at any radius.

    Parameters
    ----------
    results : DataFrame
        As :meth:`Bracket.run` returns it.
    """
    parts: list[str] = []
    for data, table in results.assign(gap=results["attacked"] - results["certified"]).groupby("data", sort=False):
        first = table.iloc[0]
        seeds = table["seed"].nunique()
        about = f"{first['n_features']} features, {seeds} seed{'s' if seeds > 1 else ''}, {first['n_rows']} rows each"
        models = table.drop_duplicates(["defence", "seed"])
        parts += [f"### {data} ({about})", "", f"P@{first['k']}:", ""]
        parts += [*_table(table, ["defence", "epsilon"], (*_POINT_COLUMNS, *_MODEL)), "", "Medians over rows:", ""]
        parts += [*_table(models, ["defence"], (*_RADIUS_COLUMNS, *_MODEL)), ""]
    return "\n".join(parts)


def bracket_summary(
    results: pd.DataFrame, defences: Mapping[str, str], epsilons: Sequence[float] = (0.1, 0.25, 0.5)
) -> str:
    """One small table in Markdown: AUC, and the mean certified and attacked P@k between which the true one lies.

    Parameters
    ----------
    results : DataFrame
        Rows of one data set, as :meth:`Bracket.run` returns them.
    defences : mapping of str to str
        Name of a defence to the label of its line, in the order of the lines.
    epsilons : sequence of float, default=(0.1, 0.25, 0.5)
        Radii, one column each.
    """
    means = results.groupby(["defence", "epsilon"])[["roc_auc", "certified", "attacked"]].mean()
    lines = [["", "AUC", *(f"epsilon {epsilon:g}" for epsilon in epsilons)], ["---"] * (2 + len(epsilons))]
    for defence, label in defences.items():
        points = [means.loc[(defence, epsilon)] for epsilon in epsilons]
        ends = [f"{point['certified']:.3f} to {point['attacked']:.3f}" for point in points]
        lines.append([label, f"{points[0]['roc_auc']:.4f}", *ends])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table(rows: pd.DataFrame, keys: list[str], columns: tuple[tuple[str, str, int], ...]) -> list[str]:
    lines = [[*keys, *(heading for heading, _, _ in columns)], ["---"] * (len(keys) + len(columns))]
    for values, group in rows.groupby(keys, sort=False):
        label = [value if isinstance(value, str) else f"{value:g}" for value in values]
        lines.append([*label, *(_number(group[column].to_numpy(), digits) for _, column, digits in columns)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def _number(values: np.ndarray, digits: int) -> str:
    """Mean ± s.d.; of what reaches beyond the largest radius that was tried there is no mean."""
    beyond = values >= _MAX_RADIUS
    if beyond.any():
        return f"≥ {_MAX_RADIUS:g}" if beyond.all() else f"{values.min():.{digits}f} to ≥ {_MAX_RADIUS:g}"
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    spread = f" ± {known.std(ddof=1):.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{spread}"

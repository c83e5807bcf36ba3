"""One cell of the R2ET paper's Figure 3: first flips of single rows, their thickness and Hessian norm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from robustxai._arguments import COUNT, INTEGER_SEED, NOT_NEGATIVE, Instance, Text, checked
from robustxai.benchmark import ATTACKS, EXPLAINED_BY, BaseCell, Cell, Params, fit_model
from robustxai.metrics import flip_correlation, hessian_norm, ranking_thickness
from robustxai.protocols import MeasuredExplainer

__all__ = ["FlipCell", "run_flip_cell"]

#: Steps of the attack. A row whose top set never changes has a ``first_flip`` of one more.
_STEPS = 1000


@dataclass(frozen=True)
class FlipCell(BaseCell):
    """One model, attacked row by row with the paper's ERAttack: radius 1, 1,000 steps of 1e-3.

    Parameters
    ----------
    data, defense, seed, params, k, n_rows
        As in :class:`Cell`.
    epsilon : float, default=0.5
        Radius of the thickness.
    n_draws, n_points : int, default=50 and 10
        Sampling of the thickness; finer than in a table, because single rows are compared.
    explainer : str, default="gradient"
        As in :class:`Cell`; the model is trained for it.
    """

    data: str
    defense: str
    seed: int
    params: Params = ()
    k: int = 8
    epsilon: float = 0.5
    n_rows: int = 500
    n_draws: int = 50
    n_points: int = 10
    explainer: MeasuredExplainer = "gradient"

    _constraints = {
        "data": Text(),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "params": Instance(tuple),
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "n_rows": COUNT,
        "n_draws": COUNT,
        "n_points": COUNT,
        "explainer": EXPLAINED_BY,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"flip-{self.n_rows}-{self.n_draws}-{self.n_points}-{self.model().label()}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return self.model().digest, _STEPS

    def model(self) -> Cell:
        """Return the cell that trains the model."""
        how: dict[str, Any] = {"params": self.params, "explainer": self.explainer}
        return Cell(self.data, self.defense, self.seed, ("er_paper",), self.k, self.epsilon, **how)


@checked(cell=Instance(FlipCell))
def run_flip_cell(cell: FlipCell) -> dict[str, Any]:
    """Train and attack; return the fields of the cell, three numbers for every row, and their correlations.

    ``first_flip`` is the number of steps plus one for a row whose top set never changes.
    """
    model = cell.model()
    fitted = fit_model(model)
    estimator, X = fitted.explained_by(cell.explainer), fitted.X_test[: cell.n_rows]
    result = (
        ATTACKS["er_paper"](cell.k, model.threat(), model.max_iter, cell.seed).set_params(estimator=estimator).run(X)
    )
    rows = {
        "first_flip": result.first_flip,
        "thickness": ranking_thickness(
            estimator, X, cell.k, epsilon=cell.epsilon, n_draws=cell.n_draws, n_points=cell.n_points
        ),
        "hessian_norm": hessian_norm(estimator, X),
    }
    censored = result.first_flip > _STEPS
    correlations: dict[str, float] = {}
    for name in ("thickness", "hessian_norm"):
        correlation = flip_correlation(result.first_flip, rows[name], censored=censored)
        correlations |= {f"pearson_{name}": correlation.pearson, f"spearman_{name}": correlation.spearman}
    counts = {"n_rows": len(X), "n_censored": int(censored.sum())}
    fields = {**asdict(cell), "params": dict(cell.params), **counts, **correlations}
    return fields | {name: [float(value) for value in values] for name, values in rows.items()}

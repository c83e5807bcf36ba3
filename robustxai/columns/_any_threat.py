"""What may change: a ball of features, or the rows of a table."""

from __future__ import annotations

from robustxai._arguments import Constraint, Either, Instance, Nothing
from robustxai.columns._table_threat import TableThreat
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import Norm

__all__ = ["ANY_THREAT_ARGUMENTS", "as_any_threat"]

#: Constraints of `threat`, `epsilon` and `norm` where both kinds are taken.
ANY_THREAT_ARGUMENTS: dict[str, Constraint] = {
    **THREAT_ARGUMENTS,
    "threat": Either(
        (Instance(ThreatModel), Instance(TableThreat), Nothing()),
        words="a ThreatModel, for instance ThreatModel(epsilon=0.5), or a TableThreat",
    ),
}
#: As of :func:`robustxai.perturbation.as_threat`.
_BALL = ThreatModel()


def as_any_threat(
    threat: ThreatModel | TableThreat | None,
    *,
    epsilon: float | None = None,
    norm: Norm | None = None,
    default: ThreatModel = _BALL,
) -> ThreatModel | TableThreat:
    """Return the threat model that three arguments describe, as :func:`robustxai.perturbation.as_threat` does.

    Raises
    ------
    ValueError
        A TableThreat with the shorthand of a ball.
    """
    if not isinstance(threat, TableThreat):
        return as_threat(threat, epsilon=epsilon, norm=norm, default=default)
    for name, value in (("epsilon", epsilon), ("norm", norm)):
        if value is not None:
            raise ValueError(
                f"{name}={value!r} contradicts threat, a TableThreat, which has budgets and a norm of its own. "
                f"Leave {name} out."
            )
    return threat

"""Fast ways to compute what the rest of the library defines: written-out passes, stacks, frozen copies, surrogates."""

from robustxai.engine._eval_batchnorm import steady
from robustxai.engine._frozen import channels_last, frozen
from robustxai.engine._held_statistics import held_statistics, layers_of_the_batch
from robustxai.engine._known_gradient import known_gradient
from robustxai.engine._mlp_passes import MLPPasses
from robustxai.engine._rows_at_once import MOST_ROWS, rows_at_once
from robustxai.engine._stack_rows import StackRows, of_rows
from robustxai.engine._stacked_mlp import StackedMLP
from robustxai.engine._surrogate import (
    fix_beta,
    has_piecewise_linear,
    is_piecewise_linear,
    set_beta,
    softplus_surrogate,
)

__all__ = [
    "MOST_ROWS",
    "MLPPasses",
    "StackRows",
    "StackedMLP",
    "channels_last",
    "fix_beta",
    "frozen",
    "has_piecewise_linear",
    "held_statistics",
    "is_piecewise_linear",
    "known_gradient",
    "layers_of_the_batch",
    "of_rows",
    "rows_at_once",
    "set_beta",
    "softplus_surrogate",
    "steady",
]

"""Differentiate objectives, and compute many networks as one, behind one interface.

:class:`Differentiation` is the interface. :func:`choose_differentiation` is the only function that chooses between its
implementations. Classes ask for a fast implementation by declarations (:class:`BasePenalty`, ``single_gradient`` of an
explainer, ``dense_layers`` of a network).
"""

from robustxai.engine._choice import check_compilable, choose_differentiation, lookahead_of
from robustxai.engine._declared import declared, declares, stackable
from robustxai.engine._differentiation import Autograd, Differentiation, Score, WrittenOut, score_gradient
from robustxai.engine._eval_batchnorm import eval_batchnorm
from robustxai.engine._explained_batch import ExplainedBatch
from robustxai.engine._frozen import channels_last, frozen
from robustxai.engine._held_statistics import held_statistics
from robustxai.engine._known_gradient import known_gradient
from robustxai.engine._mlp_passes import MLPPasses
from robustxai.engine._penalty import BasePenalty
from robustxai.engine._rows_at_once import MOST_ROWS, rows_at_once
from robustxai.engine._stack import StackMember, Stop, TrainingRows, train_together
from robustxai.engine._stack_key import stack_key
from robustxai.engine._stack_rows import StackRows, of_rows
from robustxai.engine._stacked_mlp import StackedMLP
from robustxai.engine._surrogate import (
    fix_beta,
    has_piecewise_linear,
    is_piecewise_linear,
    set_beta,
    softplus_surrogate,
)
from robustxai.engine._tensor_batches import TensorBatches, batch_size_of, tensors_of

__all__ = [
    "MOST_ROWS",
    "Autograd",
    "BasePenalty",
    "Differentiation",
    "ExplainedBatch",
    "MLPPasses",
    "Score",
    "StackMember",
    "StackRows",
    "StackedMLP",
    "Stop",
    "TensorBatches",
    "TrainingRows",
    "WrittenOut",
    "batch_size_of",
    "channels_last",
    "check_compilable",
    "choose_differentiation",
    "declared",
    "declares",
    "eval_batchnorm",
    "fix_beta",
    "frozen",
    "has_piecewise_linear",
    "held_statistics",
    "is_piecewise_linear",
    "known_gradient",
    "lookahead_of",
    "of_rows",
    "rows_at_once",
    "score_gradient",
    "set_beta",
    "softplus_surrogate",
    "stack_key",
    "stackable",
    "tensors_of",
    "train_together",
]

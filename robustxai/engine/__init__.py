"""Differentiate objectives, and compute many networks as one, behind one interface.

:class:`Differentiation` is the interface. :func:`choose_differentiation` is the only function that chooses between its
implementations. Classes ask for a fast implementation by declarations (:class:`BasePenalty`, ``single_gradient`` of an
explainer, ``dense_layers`` of a network).
"""

from robustxai.engine._choice import check_compilable as check_compilable
from robustxai.engine._choice import choose_differentiation
from robustxai.engine._choice import lookahead_of as lookahead_of
from robustxai.engine._declared import declared as declared
from robustxai.engine._declared import declares as declares
from robustxai.engine._declared import stackable
from robustxai.engine._differentiation import Autograd, Differentiation, Score, WrittenOut, score_gradient
from robustxai.engine._differentiation import differentiation_of as differentiation_of
from robustxai.engine._explained_batch import ExplainedBatch as ExplainedBatch
from robustxai.engine._explained_batch import LookaheadPenalty as LookaheadPenalty
from robustxai.engine._frozen import channels_last as channels_last
from robustxai.engine._frozen import frozen
from robustxai.engine._held_statistics import held_statistics as held_statistics
from robustxai.engine._kept import kept as kept
from robustxai.engine._known_gradient import known_gradient
from robustxai.engine._mlp_passes import MLPCurve as MLPCurve
from robustxai.engine._mlp_passes import MLPPasses as MLPPasses
from robustxai.engine._penalty import BasePenalty as BasePenalty
from robustxai.engine._rows_at_once import MOST_ROWS as MOST_ROWS
from robustxai.engine._rows_at_once import rows_at_once as rows_at_once
from robustxai.engine._stack import StackMember as StackMember
from robustxai.engine._stack import Stop as Stop
from robustxai.engine._stack import TrainingRows as TrainingRows
from robustxai.engine._stack import train_together as train_together
from robustxai.engine._stack_key import stack_key as stack_key
from robustxai.engine._stack_rows import StackRows as StackRows
from robustxai.engine._stack_rows import of_rows as of_rows
from robustxai.engine._stacked_mlp import StackedMLP as StackedMLP
from robustxai.engine._surrogate import fix_beta as fix_beta
from robustxai.engine._surrogate import has_piecewise_linear, set_beta, softplus_surrogate
from robustxai.engine._surrogate import is_piecewise_linear as is_piecewise_linear
from robustxai.engine._tensor_batches import TensorBatches as TensorBatches
from robustxai.engine._tensor_batches import WeightedBatch as WeightedBatch
from robustxai.engine._tensor_batches import batch_size_of as batch_size_of
from robustxai.engine._tensor_batches import set_soft_labels as set_soft_labels
from robustxai.engine._tensor_batches import set_weights as set_weights

# "as" marks names for other folders of the library, which are not part of the public interface
__all__ = [
    "Autograd",
    "Differentiation",
    "Score",
    "WrittenOut",
    "choose_differentiation",
    "frozen",
    "has_piecewise_linear",
    "known_gradient",
    "score_gradient",
    "set_beta",
    "softplus_surrogate",
    "stackable",
]

"""Train networks on a sum of penalties: skorch net, callbacks, adversaries, batches, schedules, seeds and threads."""

from robustxai.engine import TensorBatches
from robustxai.training._adversary import GapAdversary, IGNormAdversary, LossAdversary
from robustxai.training._checkpoint import ResumableCheckpoint
from robustxai.training._guard import ExplanationGuard
from robustxai.training._held_out import HeldOut as HeldOut
from robustxai.training._held_out import Schedule as Schedule
from robustxai.training._held_out import watch_held_out as watch_held_out
from robustxai.training._module_check import check_module as check_module
from robustxai.training._net import ObjectiveNet, Term
from robustxai.training._precision_target import CertifiedController, PrecisionController
from robustxai.training._precision_target import TargetController as TargetController
from robustxai.training._precision_target import goal_of as goal_of
from robustxai.training._precision_target import held_out_for_target as held_out_for_target
from robustxai.training._precision_target import train_to_target as train_to_target
from robustxai.training._progress import TrainingProgress
from robustxai.training._schedule import OneCycle, StepDecay
from robustxai.training._seeding import draw_seed as draw_seed
from robustxai.training._seeding import seeded as seeded
from robustxai.training._threads import small_net_threads as small_net_threads

# "as" marks names for other folders of the library, which are not part of the public interface
__all__ = [
    "CertifiedController",
    "ExplanationGuard",
    "GapAdversary",
    "IGNormAdversary",
    "LossAdversary",
    "ObjectiveNet",
    "OneCycle",
    "PrecisionController",
    "ResumableCheckpoint",
    "StepDecay",
    "TensorBatches",
    "Term",
    "TrainingProgress",
]

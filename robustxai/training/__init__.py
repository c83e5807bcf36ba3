"""Train networks on a sum of penalties: skorch net, callbacks, adversaries, batches, schedules, seeds and threads."""

from robustxai.engine import TensorBatches
from robustxai.training._adversary import GapAdversary, LossAdversary
from robustxai.training._checkpoint import ResumableCheckpoint
from robustxai.training._guard import ExplanationGuard
from robustxai.training._held_out import HeldOut, Schedule, watch_held_out
from robustxai.training._module_check import check_module
from robustxai.training._net import ObjectiveNet, Term
from robustxai.training._progress import TrainingProgress
from robustxai.training._schedule import OneCycle
from robustxai.training._seeding import draw_seed, seeded
from robustxai.training._threads import small_net_threads

__all__ = [
    "ExplanationGuard",
    "GapAdversary",
    "HeldOut",
    "LossAdversary",
    "ObjectiveNet",
    "OneCycle",
    "ResumableCheckpoint",
    "Schedule",
    "TensorBatches",
    "Term",
    "TrainingProgress",
    "check_module",
    "draw_seed",
    "seeded",
    "small_net_threads",
    "watch_held_out",
]

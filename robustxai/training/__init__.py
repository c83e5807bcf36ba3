"""The skorch net that minimizes a sum of penalties, its adversaries, batch iterator, schedule, seeds and threads."""

from robustxai.training._adversary import GapAdversary, LossAdversary
from robustxai.training._checkpoint import ResumableCheckpoint
from robustxai.training._guard import ExplanationGuard
from robustxai.training._held_out import HeldOut, Schedule, watch_held_out
from robustxai.training._iterator import TensorBatches, batch_size_of
from robustxai.training._net import ObjectiveNet, Term
from robustxai.training._progress import TrainingProgress
from robustxai.training._schedule import OneCycle
from robustxai.training._seeding import draw_seed, seeded
from robustxai.training._stack import Member, Rows, train_together
from robustxai.training._stack_key import stack_key
from robustxai.training._threads import small_net_threads

__all__ = [
    "ExplanationGuard",
    "GapAdversary",
    "HeldOut",
    "LossAdversary",
    "Member",
    "ObjectiveNet",
    "OneCycle",
    "ResumableCheckpoint",
    "Rows",
    "Schedule",
    "TensorBatches",
    "Term",
    "TrainingProgress",
    "batch_size_of",
    "draw_seed",
    "seeded",
    "small_net_threads",
    "stack_key",
    "train_together",
    "watch_held_out",
]

"""Attacks on explanations, one a file: transformers from X to X'."""

from robustxai.attacks._base import BaseAttack
from robustxai.attacks._boundary_margin import BoundaryMarginAttack
from robustxai.attacks._er import ERAttack
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._mse import MSEAttack
from robustxai.attacks._random import RandomAttack
from robustxai.attacks._result import AttackResult, strongest
from robustxai.attacks._search import Reference
from robustxai.attacks._soft_overlap import SoftOverlapAttack

__all__ = [
    "AttackResult",
    "BaseAttack",
    "BoundaryMarginAttack",
    "ERAttack",
    "GradientAttack",
    "MSEAttack",
    "RandomAttack",
    "Reference",
    "SoftOverlapAttack",
    "strongest",
]

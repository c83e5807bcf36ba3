"""Attacks on explanations and on predictions, one per file: transformers from X to X'."""

from robustxai.attacks._auto import AutoExplanationAttack
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._black_box import BlackBox
from robustxai.attacks._boundary_margin import BoundaryMarginAttack
from robustxai.attacks._center_of_mass import CenterOfMassAttack
from robustxai.attacks._curve import radius_curve as radius_curve
from robustxai.attacks._er import ERAttack
from robustxai.attacks._fgsm import FGSM
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._mse import MSEAttack
from robustxai.attacks._multi_objective import MultiObjectiveAttack
from robustxai.attacks._nes import NESAttack
from robustxai.attacks._pareto import ParetoAttack
from robustxai.attacks._pgd import PGD
from robustxai.attacks._promotion import PromotionAttack
from robustxai.attacks._random import RandomAttack
from robustxai.attacks._result import AttackResult, strongest
from robustxai.attacks._result import warn_of_rise as warn_of_rise
from robustxai.attacks._result import warn_of_sameness as warn_of_sameness
from robustxai.attacks._retarget import ATTACK as ATTACK
from robustxai.attacks._retarget import OPTIONAL_ATTACK as OPTIONAL_ATTACK
from robustxai.attacks._retarget import retarget as retarget
from robustxai.attacks._search import Reference, Search
from robustxai.attacks._soft_overlap import SoftOverlapAttack
from robustxai.attacks._targeted import TargetedManipulation
from robustxai.attacks._together import run_together as run_together
from robustxai.attacks._top_k import TopKManipulation

__all__ = [
    "FGSM",
    "PGD",
    "AttackResult",
    "AutoExplanationAttack",
    "BaseAttack",
    "BlackBox",
    "BoundaryMarginAttack",
    "CenterOfMassAttack",
    "ERAttack",
    "GradientAttack",
    "MSEAttack",
    "MultiObjectiveAttack",
    "NESAttack",
    "ParetoAttack",
    "PromotionAttack",
    "RandomAttack",
    "Reference",
    "Search",
    "SoftOverlapAttack",
    "TargetedManipulation",
    "TopKManipulation",
    "strongest",
]

"""Regularizers, one per file: functions of an explained batch that return one value per sample, to be minimized."""

from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._adversarial_hinge import AdversarialHinge
from robustxai.penalties._adversarial_hinge import displaced as displaced
from robustxai.penalties._attribution_change import AttributionChange
from robustxai.penalties._boundary_search import boundary_search as boundary_search
from robustxai.penalties._certified_gap import CertifiedGap
from robustxai.penalties._class_contrast import ClassContrast
from robustxai.penalties._cross_lipschitz import CrossLipschitz
from robustxai.penalties._distillation import Distillation, TangentDistillation
from robustxai.penalties._estimated_hessian import EstimatedHessian
from robustxai.penalties._exact_hessian import ExactHessian
from robustxai.penalties._ig_norm import IGNorm
from robustxai.penalties._input_alignment import InputAlignment
from robustxai.penalties._map_discrepancy import MapDiscrepancy
from robustxai.penalties._mart import RunnerUpMargin, WeightedDivergence
from robustxai.penalties._ranking_gap import RankingGap
from robustxai.penalties._relative_hessian import RelativeHessian
from robustxai.penalties._ssr import SSR
from robustxai.penalties._trades import TRADES
from robustxai.penalties._weighted_change import WeightedChange
from robustxai.penalties._worst import ASCENT_ARGUMENTS as ASCENT_ARGUMENTS

__all__ = [
    "SSR",
    "TRADES",
    "AdversarialHinge",
    "AttributionChange",
    "BasePenalty",
    "CertifiedGap",
    "ClassContrast",
    "CrossLipschitz",
    "Distillation",
    "EstimatedHessian",
    "ExactHessian",
    "ExplainedBatch",
    "IGNorm",
    "InputAlignment",
    "MapDiscrepancy",
    "RankingGap",
    "RelativeHessian",
    "RunnerUpMargin",
    "TangentDistillation",
    "WeightedChange",
    "WeightedDivergence",
]

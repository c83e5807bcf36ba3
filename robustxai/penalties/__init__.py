"""Regularisers, one a file: a function of an explained batch that returns one value per sample, to be minimised."""

from robustxai.penalties._batch import ExplainedBatch, Penalty
from robustxai.penalties._estimated_hessian import EstimatedHessian
from robustxai.penalties._ranking_gap import RankingGap
from robustxai.penalties._relative_hessian import RelativeHessian

__all__ = ["EstimatedHessian", "ExplainedBatch", "Penalty", "RankingGap", "RelativeHessian"]

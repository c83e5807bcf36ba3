"""Proven bounds on the effect of all perturbations in a ball."""

from robustxai.certificates._boxes import Question as Question
from robustxai.certificates._boxes import RowBoxes as RowBoxes
from robustxai.certificates._curvature import curvature_bound
from robustxai.certificates._smoothed import SmoothedCertificate, certify_smoothed_top_k
from robustxai.certificates._top_k import TopKCertificate, certified_radius, certify_top_k
from robustxai.certificates._top_k import certified_threat as certified_threat

__all__ = [
    "SmoothedCertificate",
    "TopKCertificate",
    "certified_radius",
    "certify_smoothed_top_k",
    "certify_top_k",
    "curvature_bound",
]

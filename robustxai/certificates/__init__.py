"""Proven bounds: what no perturbation inside a ball can do."""

from robustxai.certificates._curvature import curvature_bound

__all__ = ["curvature_bound"]

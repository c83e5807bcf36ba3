"""Audit of the explanations of a model that people already have: one call, one report, and a letter for one decision.

``audit`` measures how stable and faithful explanations are, for whom, and beside which simpler models;
``AuditResult.to_html`` writes the report. ``reason_letter`` makes a page of the reasons of one row, and
``stability_sources`` separates where instability comes from. ``distill`` trains a network on what another model says.
``model_card`` puts what is known of a model into a card of skops.
"""

from robustxai.audit._audit import audit
from robustxai.audit._distill import Distillation, distill
from robustxai.audit._figure import AuditFigure
from robustxai.audit._letter import ReasonLetter, reason_letter
from robustxai.audit._model_card import model_card
from robustxai.audit._result import AuditResult
from robustxai.audit._sources import StabilitySources, stability_sources

__all__ = [
    "AuditFigure",
    "AuditResult",
    "Distillation",
    "ReasonLetter",
    "StabilitySources",
    "audit",
    "distill",
    "model_card",
    "reason_letter",
    "stability_sources",
]

"""What a fitted classifier knows about itself, as texts and below its diagram in notebooks."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

from sklearn import get_config
from sklearn.utils import estimator_html_repr

__all__ = ["FactsMixin", "known_facts"]

#: Classes that are named.
_MOST = 6
_STYLE = "border-collapse:collapse;margin:.4em 0"


def known_facts(model: Any) -> dict[str, str]:
    """Return what is known about a fitted classifier after its training, by name; nothing is computed.

    P@k under attack is known of a training with `target_precision`, and the AUC of a teacher of a training with one.
    AUC and P@k of a classifier on other rows depend on these rows, and are measured by :func:`robustxai.audit.audit`.
    """
    if not hasattr(model, "classes_") or not hasattr(model, "feature_means_"):
        return {}
    classes = [str(label) for label in model.classes_]
    shape = " x ".join(str(size) for size in model.feature_means_.shape)
    facts = {
        "classes": ", ".join(classes[:_MOST]) + (f" and {len(classes) - _MOST} more" if len(classes) > _MOST else ""),
        "features": shape,
        "explained by": getattr(model.explainer_, "__name__", type(model.explainer_).__name__),
    }
    if hasattr(model, "net_"):
        schedule = model.schedule_
        decay = f", weight decay {schedule.weight_decay:.3g}" if schedule.weight_decay else ""
        facts["trained"] = f"{schedule.max_epochs} epochs{decay}"
        for name, label in (("valid_loss", "validation loss"), ("held_out_loss", "held-out loss (choice of epochs)")):
            found = [float(row[name]) for row in model.history_ if name in row]
            if found:
                facts[label] = f"{found[-1]:.4f} in the last epoch, {min(found):.4f} at best"
    if hasattr(model, "k_"):
        facts["top set"] = f"{model.k_} by {model.ranking_}"
    if hasattr(model, "teacher_auc_"):
        facts["AUC of the teacher"] = f"{model.teacher_auc_:.3f}, out of fold on the training rows"
    if hasattr(model, "precision_"):
        low, high = model.precision_interval_
        facts[f"P@{model.k_} under attack"] = (
            f"{model.precision_:.3f} ({low:.3f} to {high:.3f}) on {model.precision_n_rows_:,} held-out rows"
        )
        facts["AUC"] = "not measured in the training: robustxai.audit.audit(model, X, y) measures it"
    else:
        facts["AUC and P@k"] = "not measured in the training: robustxai.audit.audit(model, X, y) measures them"
    return facts


class FactsMixin:
    """Show `known_facts` below scikit-learn's diagram of a fitted classifier."""

    @property
    def _repr_html_(self) -> Callable[[], str]:
        if get_config()["display"] != "diagram":
            raise AttributeError("_repr_html_ exists where the option display of scikit-learn is 'diagram'.")
        return lambda: _diagram(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Mapping[str, str]:
        found = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            found["text/html"] = _diagram(self)
        return found


def _diagram(model: Any) -> str:
    facts = known_facts(model)
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(said)}</td></tr>'
        for name, said in facts.items()
    )
    table = f'<table style="{_STYLE}"><caption>Known after the training</caption>{rows}</table>' if rows else ""
    return f"{estimator_html_repr(model)}{table}"

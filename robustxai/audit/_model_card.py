"""A model card: what a model is, what for, how it was trained, and what an audit found."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from robustxai._arguments import Either, Instance, Nothing, Text, checked
from robustxai._models import unwrap
from robustxai._short_repr import short
from robustxai.audit._document import Block, Callout, Facts, Table
from robustxai.audit._document import Text as Paragraph
from robustxai.audit._markdown import Markdown
from robustxai.audit._render import block_markdown
from robustxai.audit._result import AuditResult
from robustxai.classifiers import known_facts
from robustxai.protocols import Estimator, FittedClassifier

__all__ = ["model_card"]

_WHAT = "model_card"
_LIBRARIES = ("robustxai", "torch", "scikit-learn", "skorch", "numpy", "pandas")
_BY_ROW, _BY_COLUMN = "The least stable rows", "The least stable columns"
#: Sections of the report of an audit that a card leaves out: single rows, and what stands elsewhere in the card.
_LEFT_OUT = ("What to know first", "Figures", _BY_ROW, _BY_COLUMN, "Audited rows")
_TEXT = Either((Text(), Nothing()), words="a text, or None")


@checked(
    result=Either((Instance(AuditResult), Nothing()), words="the result of robustxai.audit.audit, or None"),
    intended_use=_TEXT,
    limitations=_TEXT,
    authors=_TEXT,
)
def model_card(
    estimator: Estimator | FittedClassifier,
    result: AuditResult | None = None,
    *,
    intended_use: str | None = None,
    limitations: str | None = None,
    authors: str | None = None,
) -> Any:
    """Return a model card of skops: metrics, intended use, stability, training and versions, as Markdown.

    Whatever comes from the model, the table or the arguments is shown as text, markup included. No row of the table is
    in the card.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Of any library.
    result : AuditResult, optional
        What :func:`audit` found: AUC, faithfulness and P@k against the budget, stability of the columns, subgroups,
        simpler models. Without it the card says that nothing was measured.
    intended_use, limitations, authors : str, optional
        What only people know. An empty line starts a paragraph.

    Returns
    -------
    skops.card.Card
        ``card.save("README.md")`` writes it, ``card.render()`` returns it, and ``card.add(**{"Section": "text"})`` adds
        Markdown of your own, unescaped.

    Raises
    ------
    TypeError, NotFittedError
        A model that is not fitted or has no probabilities.

    References
    ----------
    Mitchell et al., *Model cards for model reporting*, 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import VanillaClassifier
    >>> from robustxai.audit import model_card
    >>> X, y = load_iris(return_X_y=True)
    >>> card = model_card(VanillaClassifier(max_epochs=2).fit(X, y), intended_use="Irises of three kinds.")
    >>> [line for line in card.render().splitlines() if line.startswith("# ")]
    ['# Model', '# Intended use', '# Limitations', '# Metrics', '# Stability', '# Training', '# Versions']
    """
    from skops.card import Card

    model, _ = unwrap(estimator, needs=("predict_proba", "classes_"), what=_WHAT)
    card = Card(estimator, template=None, model_diagram=False)
    sections: dict[str, list[Block]] = {
        "Model": [_description(estimator, model)],
        "Intended use": _paragraphs(intended_use),
        "Limitations": _paragraphs(limitations),
        "Metrics": [],
        "Stability": [],
        "Training": [Facts(list(known_facts(model).items()) or [("training", "by another library")]), _params(model)],
    }
    if result is None:
        said = Callout("warning", "Nothing was measured: pass the result of robustxai.audit.audit(model, X, y).")
        sections["Metrics"] = sections["Stability"] = [said]
    else:
        from robustxai.audit._report import report

        found = {part.title: part.blocks for part in report(result).sections}
        sections["Limitations"] += [Callout("warning", text) for text in result.warnings]
        sections["Metrics"] = [block for block in found["Figures"] if isinstance(block, Table)]
        sections["Stability"] = list(report(result).lead)
        sections |= {f"Stability/{title}": list(part) for title, part in found.items() if title not in _LEFT_OUT}
        # the figure and the table of columns; the examples between them are rows
        sections[f"Stability/{_BY_COLUMN}"] = [found[_BY_COLUMN][0], found[_BY_COLUMN][-1]]
    versions = [("python", platform.python_version()), *((name, version(name)) for name in _LIBRARIES)]
    sections["Versions"] = [Facts(versions)]
    if authors is not None:
        sections["Authors"] = _paragraphs(authors)
    for title, blocks in sections.items():
        card.add(**{title: Markdown("\n\n".join(block_markdown(block) for block in blocks))})
    return card


def _paragraphs(text: str | None) -> list[Block]:
    if text is None:
        return [Callout("note", "Not stated.")]
    return [Paragraph(part) for part in text.split("\n\n") if part.strip()]


def _description(estimator: Any, model: Any) -> Facts:
    facts = [("class", type(model).__name__)]
    if isinstance(estimator, Pipeline):
        facts.append(("steps", ", ".join(type(step).__name__ for _, step in estimator.steps)))
    facts.append(("classes", ", ".join(str(label) for label in np.asarray(model.classes_).tolist())))
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        facts.append(("columns", ", ".join(str(name) for name in names)))
    module = getattr(model, "module_", None)
    if module is not None:
        n_weights = sum(weight.numel() for weight in module.parameters())
        facts.append(("network", f"{type(module).__name__} with {n_weights:,} weights"))
    return Facts(facts)


def _params(model: Any) -> Block:
    """Return the parameters that are not the defaults of the class."""
    params = model.get_params(deep=False) if hasattr(model, "get_params") else {}
    try:
        defaults = type(model)().get_params(deep=False)
    except TypeError:  # a class with arguments that it needs
        defaults = {}
    changed = [
        [name, short(value)]
        for name, value in sorted(params.items())
        if name not in defaults or short(value) != short(defaults[name])
    ]
    if not changed:
        return Paragraph("All parameters have the defaults of the class.")
    return Table("Parameters that are not the defaults of the class", ["parameter", "value"], changed)

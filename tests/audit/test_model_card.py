"""Model cards: what is in them, and that foreign text is text."""

import re

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from robustxai import SoftplusClassifier
from robustxai.audit import model_card
from tests.audit.conftest import HOSTILE
from tests.audit.test_text import READER, Page, words


def test_a_card_has_what_was_measured_trained_and_installed(result, pipe, tmp_path):
    card = model_card(pipe, result, intended_use="Loans.\n\nNot jobs.", limitations="Old rows.", authors="The team")
    card.save(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text == card.render()
    page = Page(READER.render(text))
    said = words(page.text)
    auc = result.summary.set_index("measure").loc["ROC AUC", "value"]
    assert f"{auc:.2f}" in words(Page(READER.render(card.select("Metrics").content)).text)
    for column in result.columns["column"]:
        assert str(column) in card.select("Stability/The least stable columns").content
    assert "Stability against the budget" in said
    assert "20 epochs" in words(card.select("Training").content)
    assert "max\\_epochs | 20" in card.select("Training").content
    assert f"scikit-learn: {sklearn.__version__}" in words(Page(READER.render(card.select("Versions").content)).text)
    assert "<p>Not jobs.</p>" in READER.render(card.select("Intended use").content)
    assert all(words(warning) in said for warning in result.warnings)
    assert result.verdict in said


def test_no_row_of_the_table_is_in_the_card(result, pipe, data):
    text = model_card(pipe, result).render()
    amounts = data[0]["income"].dropna().unique()
    assert not [value for value in amounts if f"{value:,.2f}" in text or str(value) in text]


def test_foreign_text_is_text(hostile):
    names = list(HOSTILE.values())
    X = np.random.default_rng(0).normal(size=(20, 2))
    model = LogisticRegression(class_weight={names[0]: 1.0, names[2]: 2.0}).fit(X, [names[0], names[2]] * 10)
    attack = "<script>x</script>\n\n# Heading\n\n[a](javascript:b) | c |\n\n---\n\n```\nx"
    text = model_card(model, hostile, intended_use=attack, limitations=names[3], authors=names[1]).render()
    page = Page(READER.render(text))
    assert set(page.elements) <= {
        *("h1", "h2", "p", "em", "strong", "ul", "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td")
    }
    assert not page.attributes or all(name == "style" for name, _ in page.attributes)
    titles = re.findall(r"^# (.*)$", text, re.MULTILINE)
    assert "Heading" not in titles
    for name in names:
        assert name in words(page.text)
    assert not [line for line in text.splitlines() if line.startswith("=")]


def test_models_of_others_and_what_is_missing():
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    text = model_card(RandomForestClassifier(3).fit(X, y)).render()
    assert "by another library" in text
    assert "Nothing was measured" in text
    assert text.count("Not stated.") == 2
    with pytest.raises(NotFittedError):
        model_card(SoftplusClassifier())

import math
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from robustxai.audit import reason_letter
from robustxai.reasons import Reasons, reasons
from tests.audit.conftest import HOSTILE
from tests.audit.test_text import READER, Page


def made(**changes):
    """Three reasons of one row, one of each status."""
    frame = pd.DataFrame(
        {
            "row": ["r1"] * 3,
            "rank": [1, 2, 3],
            "column": ["debts", HOSTILE["age"], HOSTILE["home"]],
            "value": [1234.5, 20, HOSTILE["job"]],
            "contribution": [-3.0, -2.0, -1.0],
            "direction": ["adverse"] * 3,
            "radius": [1.0, 0.25, 0.5],
            "status": ["proven", "attacked", "undecided"],
            "changes": [None, {HOSTILE["age"]: 21}, None],
        }
    ).assign(**changes)
    return Reasons(frame, 3, "paid")


def test_three_sentences_and_three_tones():
    letter = reason_letter(made(), "r1", decision="credit <denied>")
    assert [(one.proven, one.beyond) for one in letter.reasons] == [(1.0, ""), (0.25, "attacked"), (0.5, "undecided")]
    page = Page(letter.to_html())
    assert "debts (1,234.50) counts against paid" in page.text
    assert f"if {HOSTILE['age']} becomes 21" in page.text
    assert "credit <denied>" in page.text
    assert page.elements.count("li") == 3 + 3
    assert not {"img", "script", "denied"} & set(page.elements)
    tree = ElementTree.fromstring("<body>" + letter.to_html().split("<body>")[1].split("</body>")[0] + "</body>")
    bars = [e for e in tree.iter("svg") if e.get("aria-label")]
    assert [[float(r.get("width")) for r in bar.iter("rect")] for bar in bars] == [[300], [75, 225], [150, 150]]


def test_markdown_has_the_same_sentences_and_bars():
    letter = reason_letter(made(), "r1")
    read = Page(READER.render(letter.to_markdown()))
    assert set(read.elements) <= {"h1", "p", "ol", "ul", "li"}
    for one in letter.reasons:
        assert " ".join(one.sentence.split()) in " ".join(read.text.split())
    assert "█" * 20 in read.text
    assert "█" * 5 + "░" * 15 in read.text


def test_a_book_gives_the_texts_and_no_threat_gives_no_bars():
    book = {"debts": ("D1", "Debt and its payments")}
    plain = made()
    plain = Reasons(plain.frame.drop(columns=["radius", "status", "changes"]), 3, "paid")
    letter = reason_letter(plain, "r1", book=book)
    assert letter.reasons[0].sentence.startswith("Debt and its payments (")
    assert math.isnan(letter.reasons[0].proven)
    assert "svg" not in Page(letter.to_html()).elements
    with pytest.raises(ValueError, match="no reason of the row 'r2'"):
        reason_letter(plain, "r2")


def test_from_a_pipeline(data, pipe, threat, tmp_path):
    found = reasons(pipe, data[0].iloc[:3], top=2, threat=threat, attack=None)
    label = found.frame["row"].iloc[0]
    letter = reason_letter(found, label)
    letter.to_html(tmp_path / "letter.html")
    letter.to_markdown(tmp_path / "letter.md")
    assert len(letter.reasons) == (found.frame["row"] == label).sum()
    assert (tmp_path / "letter.md").read_text(encoding="utf-8") == letter.to_markdown()
    assert repr(letter) == f"ReasonLetter(row {label!r}, {len(letter.reasons)} reasons)"

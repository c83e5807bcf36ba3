"""The report: one file without a network, accessible, with the same content in Markdown."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree

import pytest

from robustxai.audit._figure import COLORS
from tests.audit.test_text import Page


@pytest.fixture(scope="module")
def html(result):
    return result.to_html()


def test_it_is_one_small_file_without_a_network(html):
    assert len(html.encode()) < 300_000
    outside = re.sub(r"http://www\.w3\.org/2000/svg", "", html)
    assert not re.search(r"(https?:|//[a-z]|@import|url\()", outside)
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in html
    assert "default-src &#x27;none&#x27;" in html


def test_it_is_well_formed_and_every_figure_has_a_description(html):
    body = html.split("<body>")[1].split("<script>")[0]
    tree = ElementTree.fromstring(f"<body>{body.replace('<br>', '<br/>')}</body>")
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    svg = "{http://www.w3.org/2000/svg}"
    figures = list(tree.iter(f"{svg}svg"))
    assert len(figures) == 5
    for figure in figures:
        (described,) = [element for element in figure.iter() if element.get("id") == figure.get("aria-describedby")]
        assert figure.get("aria-label") == figure.find(f"{svg}title").text
        assert len(described.text) > 40
    for table in tree.iter("table"):
        assert table.find("caption").text
        assert all(head.get("scope") == "col" for head in table.find("thead").iter("th"))
        widths = {len(row) for row in table.iter("tr")}
        assert len(widths) == 1
    for anchor in tree.iter("a"):
        assert anchor.get("href")[1:] in ids


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast_is_that_of_wcag(scheme):
    for ground in ("paper", "panel"):
        for name in ("ink", "muted"):
            assert contrast(COLORS[name][scheme], COLORS[ground][scheme]) >= 4.5
        for name in ("proven", "attacked", "undecided", "blue", "amber"):
            assert contrast(COLORS[name][scheme], COLORS[ground][scheme]) >= 3


def test_markdown_has_the_same_headings_tables_and_warnings(result, html):
    markdown, page = result.to_markdown(), Page(html)
    assert len(re.findall(r"^## ", markdown, re.MULTILINE)) == page.elements.count("h2")
    assert len(re.findall(r"^\| ---", markdown, re.MULTILINE)) == page.elements.count("table")
    assert markdown.count("> **Warning:**") == html.count('class="callout warning"')
    for text in result.warnings:
        assert text in page.text


def test_files_are_written(result, tmp_path):
    assert result.to_html(tmp_path / "a.html") == (tmp_path / "a.html").read_text(encoding="utf-8")
    assert result.to_markdown(str(tmp_path / "a.md")) == (tmp_path / "a.md").read_text(encoding="utf-8")
    figures = result.figures()
    assert set(figures) == {"curve", "rows", "columns", "subgroups", "comparison"}
    figures["curve"].save(tmp_path / "curve.svg")
    ElementTree.parse(tmp_path / "curve.svg")
    assert figures["curve"].table["share of the threat model"].tolist() == [0.0, 0.5, 1.0]
    assert figures["rows"].table["rows"].sum() == len(result.frame)


def test_a_notebook_gets_no_script(result):
    page = Page(result._repr_html_())
    assert "script" not in page.elements
    assert result.warnings[0] in page.text
    style = re.search(r"<style>(.*?)</style>", result._repr_html_(), re.DOTALL)[1]
    assert "body{" not in style

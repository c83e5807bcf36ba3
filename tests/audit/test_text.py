"""What comes from the table is shown as text, whatever it is."""

import re
import unicodedata
from html.parser import HTMLParser

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from robustxai.audit._html import Html, html_text, plain_text, tag
from robustxai.audit._markdown import markdown_table, markdown_text
from tests.audit.conftest import HOSTILE

TEXT = st.one_of(
    st.text(max_size=30),
    st.text("<>&\"'`*_[](){}|\\#!=+-~$:@^./0 1ab\n\t\u202e\x00", max_size=20),
    st.sampled_from([*HOSTILE.values(), "=cmd()", "- x", "1. x", "    x", "---", "a  ", "http://a.b", "&lt;", "\\|"]),
)
READER = MarkdownIt("commonmark").enable("table").enable("strikethrough")


class Page(HTMLParser):
    """Elements, attributes and text of markup."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.text = [], [], ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.attributes += attributes

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text += data


def words(text):
    return " ".join(text.split())


@given(TEXT)
@example("<img src=x onerror=alert(1)>")
def test_text_in_html_is_text(text):
    page = Page(tag("p", text, title=text))
    assert page.elements == ["p"]
    assert page.text == plain_text(text)
    assert page.attributes == [("title", plain_text(text))]
    assert html_text(Html("<b>")) == "<b>"


@settings(deadline=None)
@given(TEXT)
@example("=cmd()")
@example("| a |")
@example("www.a.b <b>")
def test_text_in_markdown_is_text(text):
    for made in (markdown_text(text), f"a {markdown_text(text)} b", f"* {markdown_text(text)}"):
        page = Page(READER.render(made))
        assert set(page.elements) <= {"p", "ul", "li"}
        assert words(page.text) == words({0: "", 1: "a "}.get(0, "") + _around(made, plain_text(text)))


def _around(made, text):
    return f"a {text} b" if made.startswith("a ") and made.endswith(" b") and made != markdown_text(text) else text


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_cells_in_markdown_are_text(rows):
    html = READER.render(markdown_table(["one", "two"], rows, [False, True]))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html, flags=re.DOTALL)
    assert len(cells) == 2 * len(rows)
    for cell, text in zip(cells, [text for row in rows for text in row]):
        page = Page(cell)
        assert page.elements == []
        assert words(page.text) == words(plain_text(text))


@given(TEXT)
def test_plain_text_is_one_line_without_signs_that_reorder(text):
    made = plain_text(text)
    assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in made)
    assert "\u202e" not in made
    assert bool(made.strip()) == bool(text)
    made.encode("utf-8")


def test_the_report_of_a_hostile_table_shows_its_names(hostile):
    html, markdown = hostile.to_html(), hostile.to_markdown()
    page, fragment = Page(html), Page(hostile._repr_html_())
    for name in HOSTILE.values():
        assert name in page.text
    assert page.elements.count("script") == 1
    assert "img" not in page.elements + fragment.elements
    assert "script" not in fragment.elements
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert {value for name, value in page.attributes if name == "href"} <= {f"#part-{n}" for n in range(1, 20)} | {
        "#content"
    }
    read = Page(READER.render(markdown))
    assert set(read.elements) <= {"h1", "h2", "p", "em", "strong", "ul", "li", "blockquote", "hr", "table", "thead"} | {
        *("tbody", "tr", "th", "td")
    }
    for name in HOSTILE.values():
        assert words(name) in words(read.text)
    for figure in hostile.figures().values():
        assert "img" not in Page(figure.to_svg()).elements

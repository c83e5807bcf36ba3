"""A document as one HTML file without a network, and as Markdown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from robustxai.audit._document import Block, Callout, Cell, Document, Facts, Number, Picture, Section, Table, Text
from robustxai.audit._figure import STYLE, variables
from robustxai.audit._html import Html, html_text, tag
from robustxai.audit._markdown import Markdown, markdown_table, markdown_text

__all__ = ["STYLE_OF_PAGE", "block_html", "block_markdown", "notebook", "page", "to_html", "to_markdown"]

_WORDS = {"warning": "Warning", "good": "Good", "note": "Note"}

#: The style sheet of pages: light, dark, and paper.
STYLE_OF_PAGE = (
    f":root{{color-scheme:light dark;{variables(0)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{variables(1)}}}}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',"
    "Roboto,'Helvetica Neue',Arial,sans-serif}"
    "main,header,nav,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}"
    "header{padding-top:2.2rem}h1{font-size:1.9rem;line-height:1.2;margin:0 0 .6rem}"
    "h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-top:.4rem;border-top:1px solid var(--grid)}"
    "p{margin:.6rem 0;max-width:46rem;overflow-wrap:anywhere}"
    "a{color:var(--blue)}.muted,footer{color:var(--muted)}footer{padding:2rem 1.25rem;font-size:.88rem}"
    "nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:1rem 0}"
    ".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem}"
    ":focus-visible{outline:3px solid var(--blue);outline-offset:2px}"
    ".callout{border-left:.35rem solid var(--undecided);background:var(--panel);padding:.55rem .9rem;margin:.6rem 0;"
    "border-radius:0 .3rem .3rem 0;max-width:54rem;overflow-wrap:anywhere}.callout b{margin-right:.4rem}"
    ".callout.warning{border-color:var(--attacked)}.callout.good{border-color:var(--proven)}"
    "dl{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:.25rem 1rem;margin:.8rem 0}"
    "dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}"
    ".scroll{overflow-x:auto;margin:1rem 0}"
    "table{border-collapse:collapse;font-size:.92rem;min-width:100%}"
    "caption{text-align:left;color:var(--muted);padding:.2rem 0 .4rem;break-after:avoid}thead .n{white-space:normal}"
    'td,th{mso-number-format:"\\@"}.n{mso-number-format:General}'
    "th,td{padding:.32rem .7rem .32rem 0;border-bottom:1px solid var(--grid);text-align:left;vertical-align:top;"
    "overflow-wrap:break-word}"
    "tbody th{font-weight:600;max-width:18rem}thead th{border-bottom:2px solid var(--muted);vertical-align:bottom}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.w{min-width:13rem}td{max-width:26rem}"
    "th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:3px solid var(--blue)}"
    'th button::after{content:"\\a0\\2195";color:var(--muted)}'
    'th[aria-sort=ascending] button::after{content:"\\a0\\2191"}'
    'th[aria-sort=descending] button::after{content:"\\a0\\2193"}'
    "figure{margin:1.2rem 0;max-width:46rem}figure svg{width:100%;height:auto;display:block}"
    "figcaption{font-weight:600;margin-bottom:.3rem}"
    f"{STYLE}"
    ".track{fill:var(--panel);stroke:var(--muted)}"
    "@media(max-width:40rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}"
    f"@media print{{:root{{color-scheme:light;{variables(0)}}}body{{font-size:10.5pt}}nav,.skip{{display:none}}"
    "h2,figcaption{break-after:avoid}thead{display:table-header-group}thead tr{break-after:avoid}"
    "figure,.callout,tr{break-inside:avoid}th button::after{content:none!important}"
    ".scroll{overflow:visible}main,header,footer{max-width:none;padding-left:0;padding-right:0}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}@page{margin:16mm}}"
)

#: Sorting of tables: numbers by their values, text by its letters; a second click turns the order.
_SCRIPT = (
    'document.querySelectorAll("th button").forEach(function(b){b.addEventListener("click",function(){'
    'var h=b.parentNode,r=h.parentNode,t=h.closest("table").tBodies[0],i=Array.prototype.indexOf.call(r.children,h),'
    'd=h.getAttribute("aria-sort")==="ascending"?-1:1;'
    'Array.prototype.forEach.call(r.children,function(o){o.removeAttribute("aria-sort")});'
    'h.setAttribute("aria-sort",d>0?"ascending":"descending");'
    'function key(w){var c=w.children[i],v=c.getAttribute("data-v");return v===null?c.textContent:parseFloat(v)}'
    "Array.prototype.slice.call(t.rows).sort(function(p,q){var a=key(p),c=key(q);"
    'if(typeof a==="string")return d*a.localeCompare(c,undefined,{numeric:true});'
    "if(isNaN(a))return isNaN(c)?0:1;if(isNaN(c))return -1;return d*(a-c)}).forEach(function(w){t.appendChild(w)})})});"
)


def page(title: str, body: Sequence[Html], *, script: bool, extra_style: str = "") -> str:
    """Return a whole page; its policy lets nothing run and nothing load but the style and script in it."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    policy += f"; script-src 'sha256-{digest}'" if script else ""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE_OF_PAGE + extra_style)),
    )
    scripts = [tag("script", Html(_SCRIPT))] if script else []
    return "<!doctype html>\n" + tag("html", head, tag("body", *body, *scripts), lang="en") + "\n"


def to_html(document: Document) -> str:
    """Return a document as one HTML file."""
    ids = [f"part-{number}" for number in range(1, len(document.sections) + 1)]
    links = [tag("li", tag("a", part.title, href=f"#{name}")) for name, part in zip(ids, document.sections)]
    sections = [_section(part, name) for name, part in zip(ids, document.sections)]
    body = [
        tag("a", "To the content", class_="skip", href="#content"),
        tag("header", tag("h1", document.title), *(block_html(block) for block in document.lead)),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        tag("main", *sections, id="content"),
        tag("footer", tag("p", document.footer)),
    ]
    return page(document.title, body, script=True)


def notebook(title: str, blocks: Sequence[Block]) -> str:
    """Return blocks as a fragment for a notebook, whose style touches nothing else on the page."""
    style = STYLE_OF_PAGE.replace(":root", ".robustxai-audit").replace("body{", ".robustxai-audit{")
    style = style.replace("*{box-sizing", ".robustxai-audit *{box-sizing")
    inside = [block_html(block, sortable=False) for block in blocks]
    return tag("div", tag("style", Html(style)), tag("p", tag("b", title)), *inside, class_="robustxai-audit")


def _section(part: Section, name: str) -> Html:
    blocks = [block_html(block) for block in part.blocks]
    return tag("section", tag("h2", part.title), *blocks, id=name, aria_label=part.title)


def block_html(block: Block, sortable: bool = True) -> Html:
    """Return a block as HTML."""
    if isinstance(block, Text):
        return tag("p", block.text)
    if isinstance(block, Callout):
        return tag("div", tag("b", f"{_WORDS[block.kind]}:"), block.text, class_=f"callout {block.kind}")
    if isinstance(block, Facts):
        return tag("dl", *(part for term, said in block.pairs for part in (tag("dt", term), tag("dd", said))))
    if isinstance(block, Picture):
        return tag("figure", tag("figcaption", block.figure.title), Html(block.figure.svg))
    return _table(block, sortable)


def _table(block: Table, sortable: bool) -> Html:
    sorts = sortable and len(block.rows) > 1
    heads = []
    for place, name in enumerate(block.names):
        kind = "n" if block.is_number(place) else None
        content = tag("button", name, type="button") if sorts else html_text(name)
        heads.append(tag("th", content, scope="col", class_=kind))
    rows = [
        tag("tr", *(_cell(cell, place == 0 and block.first_is_name) for place, cell in enumerate(row)))
        for row in block.rows
    ]
    table = tag("table", tag("caption", block.caption), tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=block.caption)


def _cell(cell: Cell, is_name: bool) -> Html:
    if isinstance(cell, Number):
        return tag("td", cell.text, class_="n", data_v=f"{cell.value:.6g}")
    if is_name:
        return tag("th", cell, scope="row")
    return tag("td", cell, class_="w" if len(cell) > 30 else None)


def to_markdown(document: Document) -> str:
    """Return a document as Markdown: the same text and tables; figures by their descriptions."""
    parts = [f"# {markdown_text(document.title)}", *(block_markdown(block) for block in document.lead)]
    for part in document.sections:
        parts += [f"## {markdown_text(part.title)}", *(block_markdown(block) for block in part.blocks)]
    return "\n\n".join([*parts, "---", f"{markdown_text(document.footer)}"]) + "\n"


def block_markdown(block: Block) -> Markdown:
    """Return a block as Markdown."""
    if isinstance(block, Text):
        return markdown_text(block.text)
    if isinstance(block, Callout):
        return Markdown(f"> **{_WORDS[block.kind]}:** {markdown_text(block.text)}")
    if isinstance(block, Facts):
        return Markdown("\n".join(f"* **{markdown_text(term)}**: {markdown_text(said)}" for term, said in block.pairs))
    if isinstance(block, Picture):
        return Markdown(f"*{markdown_text(block.figure.title)}.* {markdown_text(block.figure.description)}")
    rows = [[cell.text if isinstance(cell, Number) else cell for cell in row] for row in block.rows]
    right = [block.is_number(place) for place in range(len(block.names))]
    return Markdown(f"{markdown_text(block.caption)}\n\n{markdown_table(block.names, rows, right)}")

"""The report and the letter in headless Chromium: no console message, no serious violation of axe-core, names as text.

``.ci/browser`` installs what it needs and runs it.
"""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from robustxai.audit import reason_letter
from robustxai.reasons import Reasons
from tests.audit.conftest import HOSTILE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(os.environ.get("ROBUSTXAI_AXE", Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: .ci/browser installs it"),
    pytest.mark.skipif(not AXE.is_file(), reason=f"there is no axe-core at {AXE}: .ci/browser installs it"),
]
#: Values of Blink's setting.
SCHEMES = {"dark": 0, "light": 1}
_RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(function (found) {
  var lines = found.violations.map(function (one) {
    return {id: one.id, impact: one.impact, nodes: one.nodes.map(function (node) { return node.html; })};
  });
  var dark = matchMedia("(prefers-color-scheme: dark)").matches;
  var elements = {img: document.images.length, script: document.querySelectorAll("td script").length};
  document.title = JSON.stringify({violations: lines, dark: dark, elements: elements, passes: found.testEngine.name});
});
"""


def opened(path, scheme, folder):
    """Return the page after its scripts, and what the console said."""
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    arguments += ["--virtual-time-budget=20000", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]
    arguments += [f"--user-data-dir={folder}", path.as_uri()]
    done = subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=120, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measured(page, scheme, folder):
    """Return what axe-core finds in a page, which is opened with it at its end."""
    page = re.sub(r'<meta http-equiv="?Content-Security-Policy"?[^>]*>', "", page, flags=re.IGNORECASE)
    page = page.replace("</body>", f'<script src="{AXE.resolve().as_uri()}"></script><script>{_RUN}</script></body>')
    path = folder / f"axe-{scheme}.html"
    path.write_text(page, encoding="utf-8")
    dom, _ = opened(path, scheme, folder / "profile")
    title = re.search(r"<title>(\{.*?\})</title>", dom, flags=re.DOTALL)
    assert title, "axe-core did not run"
    return json.loads(html.unescape(title[1]))


@pytest.fixture(scope="module")
def pages(hostile):
    frame = pd.DataFrame(
        {
            "row": 0,
            "rank": [1, 2, 3],
            "column": list(HOSTILE.values())[:3],
            "value": ["<script>x</script>", 20, "a|b"],
            "contribution": [-1.0, -0.5, -0.2],
            "direction": "adverse",
            "radius": [1.0, 0.5, 0.0],
            "status": ["proven", "attacked", "undecided"],
            "changes": [None, {HOSTILE["age"]: 21}, None],
        }
    )
    letter = reason_letter(Reasons(frame, 3, "paid"), 0, decision="<b>no</b> credit")
    return {"report": hostile.to_html(), "letter": letter.to_html()}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["report", "letter"])
def test_a_page_is_silent_accessible_and_shows_names_as_text(pages, name, scheme, tmp_path):
    path = tmp_path / f"{name} of a table.html"
    path.write_text(pages[name], encoding="utf-8")
    dom, console = opened(path, scheme, tmp_path / "profile")
    assert console == []
    assert "&lt;img src=x onerror=alert(1)&gt;" in dom
    assert "=cmd()" in dom
    assert "| a |" in dom
    found = measured(pages[name], scheme, tmp_path)
    assert found["dark"] == (scheme == "dark")
    assert found["elements"] == {"img": 0, "script": 0}
    assert [one for one in found["violations"] if one["impact"] in ("serious", "critical")] == []


def test_that_test_sees_what_it_looks_for(tmp_path):
    page = '<html><body><img src="x.png"><p style="color:#eee;background:#fff">pale</p></body></html>'
    path = tmp_path / "bad.html"
    path.write_text(page.replace("<img", "<script>console.log('loud')</script><img"), encoding="utf-8")
    _, console = opened(path, "light", tmp_path / "profile")
    assert any("loud" in line for line in console)
    found = measured(page, "light", tmp_path)
    assert {"image-alt", "color-contrast"} <= {one["id"] for one in found["violations"]}
    assert found["elements"]["img"] == 1

"""The form that filters the rows of a table: what is in the page, and what it does in a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mlemo.reporting.pages import SCRIPT, filtered_table, page

HEAD = ["label", "case", "text"]
ROWS = [("joy", "FP", "So happy"), ("joy", "FN", "never"), ('an"ger  <x>', "FP", "so angry & sad")]


def content() -> str:
    return page("t", [filtered_table(HEAD, ROWS, ["label", "case"])])


def test_the_only_script_that_may_run_is_the_one_of_the_page() -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", content(), re.DOTALL)
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{checksum}'" in content()
    assert script == SCRIPT
    assert "script" not in page("t", ["<p>no table</p>"])


def test_choices_have_names_and_all_values_of_their_column() -> None:
    fields = re.findall(r"<label>(\w+)<select data-column=\"(\d)\">(.*?)</select>", content())
    assert [(name, column) for name, column, _ in fields] == [("label", "0"), ("case", "1")]
    values = [html.unescape(value) for value in re.findall(r'value="(.*?)"', fields[0][2])]
    assert values == ["", 'an"ger  <x>', "joy"]
    assert '<label>search<input type="search" name="search"></label>' in content()
    assert 'aria-live="polite"' in content()
    assert '<form class="filters" hidden>' in content()  # without scripts there is nothing that would do nothing
    assert "<select" not in filtered_table(HEAD, ROWS[:1], ["label"])  # one value is no choice


def in_browser(text: str, folder: Path) -> str:
    """The content of a page after its scripts have run; the test is skipped without a browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium or Chrome on the path")
    (folder / "page.html").write_text(text, encoding="utf-8")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    words += ["--dump-dom", (folder / "page.html").as_uri()]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


#: What a reader does, and the rows that are left.
STEPS = {
    "": [0, 1, 2],
    "choices[0].value = 'joy'": [0, 1],
    "choices[0].value = 'an\"ger  <x>'": [2],
    "choices[0].value = 'joy'; choices[1].value = 'FN'": [1],
    "search.value = ' SO '": [0, 2],
    "search.value = 'so'; choices[1].value = 'FN'": [],
}


def test_rows_that_do_not_fit_are_hidden_in_a_browser(tmp_path: Path) -> None:
    # the policy of the page keeps this script from running, so it is taken out of the copy
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", content())
    acts = "".join(f"form.reset(); {step}; look();" for step in STEPS)
    script = (
        "const form = document.querySelector('form'), choices = form.querySelectorAll('select');"
        "const search = form.elements.search, rows = [...document.querySelectorAll('tbody tr')], seen = [];"
        "const look = () => { form.dispatchEvent(new Event('input'));"
        "seen.push([form.elements.count.value, rows.flatMap((row, place) => row.hidden ? [] : [place])]); };"
        f"{acts} document.body.dataset.seen = JSON.stringify([form.hidden, seen]);"
    )
    shown = in_browser(text.replace("</body>", f"<script>{script}</script></body>"), tmp_path)
    (found,) = re.findall(r'data-seen="(.*?)"', shown)
    hidden, seen = json.loads(html.unescape(found))
    assert not hidden
    assert seen == [[f"{len(left)} of 3 rows", left] for left in STEPS.values()]


def test_the_policy_lets_the_script_run_in_a_browser(tmp_path: Path) -> None:
    other = "<script>document.body.dataset.other = 'ran'</script></body>"
    shown = in_browser(content().replace("</body>", other), tmp_path)
    assert ">3 of 3 rows</output>" in shown
    assert "data-other" not in shown

"""Pages and heat maps: what stands in the HTML."""

import re
from html.parser import HTMLParser

import pytest
import torch

from mlemo.reporting.explanations.heat_maps import MOST_COLUMNS, STRONGEST, heat_maps, strength
from mlemo.reporting.explanations.words import Word, WordWeights
from mlemo.reporting.pages import link, page, picture, table

VOID = {"meta", "img", "br", "link"}


class Checked(HTMLParser):
    """Reads a page; every element must be closed in order, nothing may come from elsewhere, pictures have texts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []
        assert not re.search(r"url\(|@import", content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("script", "link", "iframe", "object")
        assert tag != "img" or values["alt"]
        assert (values.get("src") or "data:").startswith("data:image/png;base64,") or "src" not in values
        if "href" in values:
            self.links.append(values["href"] or "")
            assert not re.match(r"\w+:|/", self.links[-1])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def weights() -> WordWeights:
    words = [Word("سعيد", ""), Word("<جدا>"), Word("&", ""), Word("قلق")]
    values = torch.tensor([[0.4, -0.1], [-0.2, 0.9], [0.0, 0.0], [torch.nan, torch.nan]])
    return WordWeights("What each word adds", words, ["joy", "fear"], values, [0], "rtl")


def test_a_heat_map_has_each_word_with_its_weight_as_colour_title_and_number() -> None:
    shown = heat_maps(weights())
    Checked(page("t", [shown]))
    maps = re.findall(r'<p class="map" dir="rtl">(.*)</p>', shown)
    assert len(maps) == 1  # of the column that is shown
    words = re.findall(
        r'(\s*)<span(?: class="(\w+)")? style="background:rgba\((.*?)\)" title="(.*?)">(.*?)</span>', maps[0]
    )
    assert words == [
        ("", "", f"0,114,178,{STRONGEST:.3f}", "+0.4000", "سعيد"),
        (" ", "against", f"213,94,0,{STRONGEST / 2:.3f}", "-0.2000", "&lt;جدا&gt;"),
        ("", "", "0,114,178,0.000", "+0.0000", "&amp;"),
        (" ", "unread", "0,114,178,0.000", "beyond the longest input", "قلق"),
    ]
    rows = re.findall(r"<tr><td.*?>(.*?)</td><td.*?>(.*?)</td><td.*?>(.*?)</td></tr>", shown)
    assert rows[:2] == [("سعيد", "0.4000", "-0.1000"), ("&lt;جدا&gt;", "-0.2000", "0.9000")]
    assert len(rows) == 4


def test_the_strongest_colour_is_readable_under_black() -> None:
    assert strength(-3.0, 3.0) == STRONGEST
    assert strength(0.5, 0.0) == 0
    for colour in ((0, 114, 178), (213, 94, 0)):
        on_white = [(255 + STRONGEST * (part - 255)) / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in on_white]
        luminance = sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear))
        assert (luminance + 0.05) / 0.05 > 7  # WCAG, level AAA


def test_what_users_write_is_escaped() -> None:
    content = page("<t>", [table(["<h>"], [["<script>alert(1)</script>", 0.25, 3]]), picture(b"x", 'a "b"')])
    read = Checked(content)
    assert "<script>alert(1)</script>" in read.text
    assert "0.2500" in read.text
    assert 'alt="a &quot;b&quot;"' in content
    assert Checked(link("a&b.csv", "<x>")).links == ["a&b.csv"]


def test_pages_are_made_for_phones_and_fetch_nothing() -> None:
    content = page("title", [])
    assert 'name="viewport" content="width=device-width' in content
    assert "default-src 'none'" in content
    with pytest.raises(AssertionError):
        Checked(page("t", ['<img alt="x" src="picture.png">']))
    with pytest.raises(AssertionError):
        Checked(page("t", ['<a href="https://example.org">x</a>']))


@pytest.mark.parametrize("words", [3, 0])
def test_a_table_of_many_columns_has_those_shown_and_those_with_the_largest_weights(words: int) -> None:
    values = torch.rand(words, 10_000, generator=torch.Generator().manual_seed(0)) / 2
    names = [f"label-{number}" for number in range(10_000)]
    if words:
        values[1, 5000:5099], values[2, 7] = -0.9, torch.nan
    content = heat_maps(WordWeights("Added", [Word("a")] * words, names, values, [7], "ltr"))
    Checked(content)
    assert "100 of 10,000 columns as numbers" in content
    head = re.findall(r"<th[^>]*>(label-\d+)</th>", content)
    assert "label-7" in head
    assert len(head) == MOST_COLUMNS
    if words:
        assert head == ["label-7", *names[5000:5099]]

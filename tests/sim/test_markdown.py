"""Markdown of others on our page: readable, and never more than our own tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.sim.markdown import render

OURS = re.compile(
    r"</?(?:p|strong|em|code|pre|ul|li|br|details|summary)>|<a href=\"https?://[^\"<>]*\" rel=\"noopener noreferrer nofollow\">|</a>"
    r"|<img src=\"https?://[^\"<>]*\" alt=\"[^\"<>]*\">"
)

FOLD = "<details><summary><strong>B</strong> &lt;i&gt;</summary><ul><li>c</li></ul>\n<p>d</p></details>"


@pytest.mark.parametrize(
    "text, html",
    [
        ("hello", "<p>hello</p>"),
        ("one\ntwo", "<p>one<br>two</p>"),
        ("**bold** and *soft*", "<p><strong>bold</strong> and <em>soft</em></p>"),
        ("snake_case_name stays", "<p>snake_case_name stays</p>"),
        ("# Head", "<p><strong>Head</strong></p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("`**x**`", "<p><code>**x**</code></p>"),
        ("```py\na < b\n```", "<pre><code>a &lt; b</code></pre>"),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        (
            "![a\\_b \\[1\\]](https://a.example/uploads/x.png)",
            '<p><img src="https://a.example/uploads/x.png" alt="a_b [1]"></p>',
        ),
        (
            "![x](https://a.example/x.png)",
            '<p>!<a href="https://a.example/x.png" rel="noopener noreferrer nofollow">x</a></p>',
        ),
        ("![x](data:image/png,x)", "<p>![x](data:image/png,x)</p>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("a\n+++ **B** <i>\n- c\n\nd\n+++\ne", "<p>a</p>\n" + FOLD + "\n<p>e</p>"),
        ("+++ never closed\nx", "<p>+++ never closed<br>x</p>"),
        ("\\+++ meant\n+++", "<p>\\+++ meant<br>+++</p>"),
    ],
)
def test_what_becomes_of_a_text(text: str, html: str) -> None:
    assert str(render(text)) == html


def test_links_lead_out_without_telling_where_from() -> None:
    html = str(render("See [this](https://a.example/x) and https://b.example/y."))
    assert html.count('rel="noopener noreferrer nofollow"') == 2
    assert 'href="https://b.example/y"' in html


@given(st.text(alphabet=st.sampled_from(list("ab<>\"'&*_`[]()#-+~! \\\nhttps://")), max_size=80))
def test_no_text_brings_a_tag_of_its_own(text: str) -> None:
    rest = OURS.sub("", str(render(text)))
    assert "<" not in rest
    assert ">" not in rest

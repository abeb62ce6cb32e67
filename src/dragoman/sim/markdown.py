"""A small, safe subset of Markdown for the page: everything is escaped first, and only tags of ours come out.

Known: paragraphs, headings, lists, fenced code, inline code, bold, emphasis, links to http(s). All else stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_FENCE = re.compile(r"^(`{3,}|~{3,})")
_BULLET = re.compile(r"^\s{0,3}(?:[-*]|\d{1,3}[.)])\s+(.*)")
_HEADING = re.compile(r"^#{1,6}\s+(.*)")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[([^\]\n]{1,300})\]\((https?://[^\s()<>]{1,2000})\)")
_BARE = re.compile(r"(?<![\w\"=/])(https?://[^\s()<>\"'\u201c\u201d]{1,2000}[^\s()<>\"'.,;:!?\u201c\u201d])")
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]+)(?<=\S)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*])[*_](?=\S)([^*_\n]+)(?<=\S)[*_](?![\w*])")


def render(text: str) -> Markup:
    """The HTML of a text that somebody else wrote; never contains any of their tags."""
    return Markup("\n").join(_blocks(text.split("\n")))


def _blocks(lines: list[str]) -> Iterator[Markup]:
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if not line.strip():
            number += 1
        elif fence:
            end = _end_of_fence(lines, number + 1, fence.group(1))
            yield Markup("<pre><code>{}</code></pre>").format("\n".join(lines[number + 1 : end]))
            number = end + 1
        elif heading := _HEADING.match(line):
            yield Markup("<p><strong>{}</strong></p>").format(_inline(heading.group(1)))
            number += 1
        elif _BULLET.match(line):
            items = []
            while number < len(lines) and (bullet := _BULLET.match(lines[number])):
                items.append(Markup("<li>{}</li>").format(_inline(bullet.group(1))))
                number += 1
            yield Markup("<ul>{}</ul>").format(Markup("").join(items))
        else:
            begin = number
            while number < len(lines) and lines[number].strip() and not _begins_block(lines[number]):
                number += 1
            paragraph = Markup("<br>").join(_inline(part) for part in lines[begin:number])
            yield Markup("<p>{}</p>").format(paragraph)


def _begins_block(line: str) -> bool:
    return bool(_FENCE.match(line) or _HEADING.match(line) or _BULLET.match(line))


def _end_of_fence(lines: list[str], begin: int, fence: str) -> int:
    for number in range(begin, len(lines)):
        if lines[number].strip().startswith(fence) and not lines[number].strip().strip(fence[0]):
            return number
    return len(lines)


def _inline(text: str) -> Markup:
    """Code spans first: nothing inside them is looked at."""
    out = Markup("")
    at = 0
    for code in _CODE.finditer(text):
        out += _links(text[at : code.start()]) + Markup("<code>{}</code>").format(code.group(1))
        at = code.end()
    return out + _links(text[at:])


def _links(text: str) -> Markup:
    out = Markup("")
    at = 0
    for link in _LINK.finditer(text):
        out += _bare_links(text[at : link.start()]) + _anchor(link.group(2), link.group(1))
        at = link.end()
    return out + _bare_links(text[at:])


def _bare_links(text: str) -> Markup:
    out = Markup("")
    at = 0
    for link in _BARE.finditer(text):
        out += _weight(text[at : link.start()]) + _anchor(link.group(1), link.group(1))
        at = link.end()
    return out + _weight(text[at:])


def _anchor(url: str, text: str) -> Markup:
    return Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(url, text)


def _weight(text: str) -> Markup:
    # The text is escaped before; what the patterns add are tags of ours around parts of it.
    safe = _BOLD.sub(r"<strong>\1</strong>", str(escape(text)))
    return Markup(_EMPHASIS.sub(r"<em>\1</em>", safe))  # noqa: S704

"""A small, safe subset of Markdown for the page: everything is escaped first, and only tags of ours come out.

Known: paragraphs, headings, lists, fenced code, folded sections, inline code, bold, emphasis, links to http(s), and
pictures that lie in a store of uploads (the page's policy takes none from elsewhere). All else stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

from dragoman.sim.store import PREFIX

_FENCE = re.compile(r"^(`{3,}|~{3,})")
_BULLET = re.compile(r"^\s{0,3}(?:[-*]|\d{1,3}[.)])\s+(.*)")
_FOLD = re.compile(r"^\+\+\+\s+(\S.*)")  # Linear folds what stands between such a title and a bare +++
_UNFOLD = "+++"
_HEADING = re.compile(r"^#{1,6}\s+(.*)")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(!?)\[((?:\\.|[^\]\\\n]){1,300})\]\((https?://[^\s()<>]{1,2000})\)")
_UPLOAD = re.compile(rf"https?://[^/]+{PREFIX}")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BARE = re.compile(r"(?<![\w\"=/])(https?://[^\s()<>\"'\u201c\u201d]{1,2000}[^\s()<>\"'.,;:!?\u201c\u201d])")
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]+)(?<=\S)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*])[*_](?=\S)([^*_\n]+)(?<=\S)[*_](?![\w*])")


class Html(str):
    """Text that is HTML already: templates do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def render(text: str) -> Html:
    """The HTML of a text that somebody else wrote; never contains any of their tags."""
    return Html("\n".join(_blocks(text.split("\n"))))


def _blocks(lines: list[str]) -> Iterator[str]:
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if not line.strip():
            number += 1
        elif fence:
            end = _end_of_fence(lines, number + 1, fence.group(1))
            code = "\n".join(lines[number + 1 : end])
            yield f"<pre><code>{escape(code)}</code></pre>"
            number = end + 1
        elif fold := _fold_at(lines, number):
            title, end = fold
            inside = "\n".join(_blocks(lines[number + 1 : end]))
            yield f"<details><summary>{_inline(title)}</summary>{inside}</details>"
            number = end + 1
        elif heading := _HEADING.match(line):
            yield f"<p><strong>{_inline(heading.group(1))}</strong></p>"
            number += 1
        elif _BULLET.match(line):
            items = []
            while number < len(lines) and (bullet := _BULLET.match(lines[number])):
                items.append(f"<li>{_inline(bullet.group(1))}</li>")
                number += 1
            yield f"<ul>{''.join(items)}</ul>"
        else:
            begin = number
            number += 1
            while number < len(lines) and lines[number].strip() and not _begins_block(lines, number):
                number += 1
            yield f"<p>{'<br>'.join(map(_inline, lines[begin:number]))}</p>"


def _begins_block(lines: list[str], number: int) -> bool:
    line = lines[number]
    return bool(_FENCE.match(line) or _HEADING.match(line) or _BULLET.match(line) or _fold_at(lines, number))


def _fold_at(lines: list[str], number: int) -> tuple[str, int] | None:
    """The title of the section that begins here, and the line of its end; what nobody closes is no section."""
    opened = _FOLD.match(lines[number])
    if opened is None:
        return None
    for end in range(number + 1, len(lines)):
        if _FOLD.match(lines[end]):
            return None
        if lines[end].strip() == _UNFOLD:
            return opened.group(1), end
    return None


def _end_of_fence(lines: list[str], begin: int, fence: str) -> int:
    for number in range(begin, len(lines)):
        if lines[number].strip().startswith(fence) and not lines[number].strip().strip(fence[0]):
            return number
    return len(lines)


def _inline(text: str) -> str:
    """One line: code spans first, and nothing inside them is looked at; then links, then weight."""
    return _around(_CODE, text, lambda code: f"<code>{escape(code.group(1))}</code>", _links)


def _links(text: str) -> str:
    return _around(_LINK, text, _named, _bare_links)


def _named(link: re.Match[str]) -> str:
    mark, name, url = link.groups()
    name = _ESCAPED.sub(r"\1", name)
    if mark and _UPLOAD.match(url):
        return f'<img src="{escape(url)}" alt="{escape(name)}">'
    return escape(mark) + _anchor(url, name)


def _bare_links(text: str) -> str:
    return _around(_BARE, text, lambda link: _anchor(link.group(1), link.group(1)), _weight)


def _around(
    pattern: re.Pattern[str], text: str, inside: Callable[[re.Match[str]], str], outside: Callable[[str], str]
) -> str:
    """Render what matches with `inside`, and all between with `outside`."""
    parts, at = [], 0
    for match in pattern.finditer(text):
        parts += [outside(text[at : match.start()]), inside(match)]
        at = match.end()
    return "".join([*parts, outside(text[at:])])


def _anchor(url: str, text: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{escape(text)}</a>'


def _weight(text: str) -> str:
    safe = _BOLD.sub(r"<strong>\1</strong>", escape(text))  # the stars go around text that is escaped already
    return _EMPHASIS.sub(r"<em>\1</em>", safe)

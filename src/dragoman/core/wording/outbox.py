"""The sentences about the files that the agent puts out for people.

Names come from the agent's disk: they stand as code, or as the text of a link with every sign escaped that means
something in Markdown, and without those that nobody sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dragoman.core.outbox import OutboxFile

NAME_MOST = 100  # characters
_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@:$^=])")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})  # control, format, private, surrogates, unassigned


def shown(files: Sequence[OutboxFile]) -> str:
    """Pictures, links, and what could not be shown; empty without files."""
    # A picture stands alone between empty lines, or Linear does not see it: linear.app/developers/how-to-upload-a-file
    blocks = [f"![{name(file.name)}]({file.url})" for file in files if file.url and file.image]
    links = [f"- [{name(file.name)}]({file.url})" for file in files if file.url and not file.image]
    problems = [f"- ⚠️ {file.problem}" for file in files if file.problem]
    if links or problems:
        blocks.append("\n".join([*links, *problems]))
    return "\n\n".join(blocks)


def name(text: str) -> str:
    """A file's name as Markdown that shows it, and does nothing else."""
    return _MEANS_SOMETHING.sub(r"\\\1", plain_name(text))


def plain_name(text: str) -> str:
    """A file's name in one line, of bounded length and with nothing in it that is not seen; never empty."""
    seen = "".join(" " if one.isspace() else one for one in text if one in "\n\t" or _is_seen(one))
    line = " ".join(seen.split())
    if len(line) > NAME_MOST:
        line = f"{line[: NAME_MOST - 21]}…{line[-20:]}"  # the end says what kind of file it is
    return line or "file"


def _code(text: str) -> str:
    quoted = plain_name(text).replace("`", "'")
    return f"`{quoted}`"


def _is_seen(one: str) -> bool:
    return unicodedata.category(one) not in _UNSEEN


# ── why not ──────────────────────────────────────────────────────────────
def too_large(file: str, most_mb: float) -> str:
    """A file is larger than the operator allows."""
    return f"{_code(file)} is not shown: it is larger than {most_mb:g} MB (`outbox_mb`)."


def no_plain_file(file: str) -> str:
    """A link, a pipe, or a file that has a second name elsewhere."""
    return (
        f"{_code(file)} is not shown: it is a link or no plain file, and I only send files that lie there themselves."
    )


def of_no_known_kind(file: str) -> str:
    """A program, or bytes that nothing tells the meaning of."""
    return f"{_code(file)} is not shown: it is no picture, video, PDF, text or zip."


def changing(file: str) -> str:
    """It was written to while it was read."""
    return f"{_code(file)} is not shown: it was still being written. It comes with my next answer."


def unreadable(file: str) -> str:
    """The disk, or the file's permissions, said no."""
    return f"{_code(file)} is not shown: it could not be read."


def not_uploaded(file: str, *, later: bool) -> str:
    """Linear did not take it."""
    why = "Linear could not be reached. It comes with my next answer." if later else "Linear did not take it."
    return f"{_code(file)} is not shown: {why}"


def out_of_time() -> str:
    """Uploading took longer than an answer may wait for it."""
    return "Not all files could be uploaded in time. The others come with my next answer."


def left_out(count: int, most: int) -> str:
    """There are more files than one answer shows."""
    files = "1 more file waits" if count == 1 else f"{count} more files wait"
    return f"{files}: an answer shows {most} at most (`outbox_files`). The next ones come with my next answer."

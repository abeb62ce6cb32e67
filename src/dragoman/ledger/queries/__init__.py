"""Named SQL: each file holds statements under `-- name:`, with a sentence on each.

Placeholders are `?` throughout, so that another dialect can rewrite them mechanically.
"""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """The statements of `file` (without its ending) by name, without comments and final semicolon."""
    text = files(__name__).joinpath(f"{file}.sql").read_text("utf-8")
    parts = _NAME.split(text)[1:]
    return {name: _bare(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _bare(body: str) -> str:
    lines = [line for line in body.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip().removesuffix(";")

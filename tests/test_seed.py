"""docs/seed.md: every promise has its row, and whatever a row names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import click
import pytest

from dragoman.cli import main
from tests.conftest import CHECKOUT

PAGE = CHECKOUT / "docs" / "seed.md"
ROW = re.compile(r"^\| ([ST]\d+) \| (.+?) \| (.+) \|$")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
COMMAND = re.compile(r"`(dragoman|\./dev) (\w+)[^`]*`")
FILE = re.compile(r"`(docs/[\w./-]+)`")


def rows() -> dict[str, str]:
    found = [row for line in PAGE.read_text(encoding="utf-8").splitlines() if (row := ROW.match(line))]
    assert len({row[1] for row in found}) == len(found), "a row stands twice"
    return {row[1]: row[3] for row in found}


@cache
def functions_in(path: str) -> frozenset[str]:
    file = CHECKOUT / path
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_promise_has_one_row() -> None:
    wanted = [f"S{number}" for number in range(1, 76)] + [f"T{number}" for number in range(1, 45)]
    assert list(rows()) == wanted


@pytest.mark.parametrize("row", rows())
def test_what_a_row_names_is_there(row: str) -> None:
    shown = rows()[row]
    named = TEST.findall(shown)
    assert [f"{path}::{name}" for path, name in named if name not in functions_in(path)] == []
    commands = COMMAND.findall(shown)
    dev = (CHECKOUT / "dev").read_text(encoding="utf-8")
    for program, verb in commands:
        known = main.get_command(click.Context(main), verb) if program == "dragoman" else f'"{verb}"' in dev
        assert known, f"{program} {verb}"
    files = FILE.findall(shown)
    assert [file for file in files if not (CHECKOUT / file).is_file()] == []
    assert named or commands or files or shown == "*open*", "it names nothing that shows it"

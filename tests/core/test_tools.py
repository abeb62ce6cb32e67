"""How tool calls are shown: every row, paths, bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.activities import Action
from dragoman.core.events.opencode import Todo, Tool
from dragoman.core.tools import TABLE, bounded, fenced, relative, show
from dragoman.core.translate import closed_plan

HOME = "/data/ws/eng-12"
DIFF = "--- a/x.py\n+++ b/x.py\n-a\n+b"

ROWS = [
    ("bash", {"command": "ls"}, "a\nb\n", "", "Running", "Ran", "ls", "```\na\nb\n```"),
    ("edit", {"filePath": f"{HOME}/x.py"}, "ok", DIFF, "Editing", "Edited", "x.py", f"```diff\n{DIFF}\n```"),
    ("multiedit", {"filePath": f"{HOME}/x.py"}, "two edits", "", "Editing", "Edited", "x.py", "two edits"),
    ("apply_patch", {}, "patched", DIFF, "Patching", "Patched", "the title", f"```diff\n{DIFF}\n```"),
    ("patch", {"path": "y.py"}, "patched", "", "Patching", "Patched", "y.py", "patched"),
    ("write", {"filePath": f"{HOME}/n.py", "content": "a\nb"}, "", "", "Writing", "Wrote", "n.py", "2 lines written"),
    ("read", {"filePath": f"{HOME}/x.py"}, "one\n", "", "Reading", "Read", "x.py", "1 line"),
    ("glob", {"pattern": "**/*.py"}, "a.py\nb.py", "", "Looking for", "Looked for", "**/*.py", "2 lines"),
    ("grep", {"pattern": "TODO"}, "", "", "Searching", "Searched", "TODO", "0 lines"),
    ("list", {"path": HOME}, "a", "", "Listing", "Listed", ".", "1 line"),
    ("webfetch", {"url": "https://example.com"}, "x", "", "Fetching", "Fetched", "https://example.com", "1 line"),
    ("websearch", {"query": "why"}, "x", "", "Searching the web", "Searched the web", "why", "1 line"),
    ("task", {"description": "look"}, " found it ", "", "Delegating", "Delegated", "look", "found it"),
    ("skill", {"name": "review"}, "x", "", "Using skill", "Used skill", "review", "1 line"),
    ("mcp_weather", {"city": "Oslo"}, "rain", "", "Using", "Used", "mcp_weather", "```\nrain\n```"),
]


@pytest.mark.parametrize("name,arguments,output,diff,doing,done,subject,result", ROWS, ids=[row[0] for row in ROWS])
def test_each_tool_is_shown_by_its_row(
    name: str, arguments: dict[str, str], output: str, diff: str, doing: str, done: str, subject: str, result: str
) -> None:
    tool = Tool(name=name, input=json.dumps(arguments), title="the title", output=output, diff=diff)
    assert show(tool, HOME, running=True) == Action(verb=doing, subject=subject, fleeting=True)
    assert show(tool, HOME, running=False) == Action(verb=done, subject=subject, result=result)


def test_no_row_is_without_a_test() -> None:
    assert {row[0] for row in ROWS} >= {name for name, row in TABLE.items() if row is not None}


@pytest.mark.parametrize("name", ["todowrite", "todoread", "question"])
def test_what_people_see_elsewhere_is_no_action(name: str) -> None:
    assert show(Tool(name=name, input="{}"), HOME, running=True) is None
    assert show(Tool(name=name, input="{}"), HOME, running=False) is None


@pytest.mark.parametrize("arguments", ["", "{", "[1]", '"x"', "null"])
def test_unreadable_arguments_leave_the_title(arguments: str) -> None:
    shown = show(Tool(name="bash", input=arguments, title="List files"), HOME, running=True)
    assert shown == Action(verb="Running", subject="List files", fleeting=True)


def test_a_tool_that_returned_nothing_is_done() -> None:
    assert show(Tool(name="bash", input='{"command":"true"}'), HOME, running=False) == Action(
        verb="Ran", subject="true", result="Done"
    )


def test_a_failure_shows_what_the_tool_said_even_where_success_would_be_a_count() -> None:
    shown = show(Tool(name="read", input='{"filePath":"x"}', output="no such file"), HOME, running=False, failed=True)
    assert shown == Action(verb="Read", subject="x", result="Failed:\n```\nno such file\n```")
    assert show(Tool(name="read", input='{"filePath":"x"}'), HOME, running=False, failed=True) == Action(
        verb="Read", subject="x", result="Failed"
    )


@pytest.mark.parametrize(
    "text,shown",
    [
        (f"{HOME}/src/a.py", "src/a.py"),
        (f"cd {HOME} && ls {HOME}/src", "cd . && ls src"),
        (f"{HOME}-2/src/a.py", f"{HOME}-2/src/a.py"),
        (f"{HOME}3", f"{HOME}3"),
        (f"/mnt{HOME}/a.py", f"/mnt{HOME}/a.py"),
        (f'"{HOME}"', '"."'),
        (f"{HOME}/ is clean", "./ is clean"),
        ("nothing here", "nothing here"),
    ],
)
def test_paths_are_shown_relative_to_the_workspace_and_no_other_path_is_touched(text: str, shown: str) -> None:
    assert relative(text, HOME) == shown
    assert relative(text, HOME + "/") == shown


def test_without_a_workspace_paths_stay() -> None:
    assert relative("/etc/hosts", "") == "/etc/hosts"
    assert relative("/etc/hosts", "/") == "/etc/hosts"


@given(st.text(), st.booleans(), st.sampled_from([*sorted(TABLE), "other"]))
def test_whatever_a_tool_returns_the_action_keeps_linears_bounds(text: str, failed: bool, name: str) -> None:
    arguments = json.dumps({"command": text * 30, "filePath": text * 30, "content": text})
    tool = Tool(name=name, input=arguments, output=text * 600, diff=text * 600)
    shown = show(tool, HOME, running=False, failed=failed)
    if shown is not None:
        assert len(shown.subject) <= 200
        assert "\n" not in shown.subject
        assert shown.result
        assert len(shown.result) <= 4_000


@given(st.text(), st.integers(60, 400))
def test_what_is_cut_keeps_both_ends_and_says_how_much_is_missing(text: str, most: int) -> None:
    long = text * 50
    cut = bounded(long, most)
    assert len(cut) <= most
    if len(long) <= most:
        assert cut == long
    else:
        assert "characters left out" in cut
        assert long.startswith(cut[:5])
        assert long.endswith(cut[-5:])


@given(st.text(alphabet="`a\n", max_size=60))
def test_a_code_block_cannot_be_closed_by_what_is_in_it(text: str) -> None:
    block = fenced(text)
    if block:
        fence = block[: len(block) - len(block.lstrip("`"))]
        assert fence not in block.removeprefix(fence).removesuffix(fence)


def test_a_closed_plan_claims_nothing_that_was_not_done() -> None:
    todos = tuple(Todo(content=s, status=s) for s in ("pending", "in_progress", "completed", "cancelled"))
    assert [todo.status for todo in closed_plan(todos)] == ["cancelled", "cancelled", "completed", "cancelled"]

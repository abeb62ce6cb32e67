"""Files that the agent puts out: shown once, under its answer, under names that are names and nothing else."""

from __future__ import annotations

import pytest

from dragoman.core.events.desk import FileShared, Receipt, ShipFailed, Shipped, WorkFound
from dragoman.core.events.opencode import Answered, Tool
from dragoman.core.outbox import REMEMBERED, OutboxFile, remembered
from dragoman.core.tools import BODY_MOST
from dragoman.core.wording import outbox as wording
from tests.core.histories import Story, answer

EDIT = Tool(name="edit", input='{"filePath":"a.py"}', output="ok")
SHOT = OutboxFile(name="shot.png", marks=("s1", "c1"), url="https://uploads.linear.app/1/shot.png", image=True)
REPORT = OutboxFile(name="report.md", marks=("s2", "c2"), url="https://uploads.linear.app/2/report.md")
HUGE = OutboxFile(name="huge.bin", marks=("s3",), problem=wording.too_large("huge.bin", 10))
AWAY = OutboxFile(name="late.png", problem=wording.not_uploaded("late.png", later=True))
RECEIPT = Receipt(repository="app", branch="b", base="main", commits=("1a2b3c4 Fix it",), commit_count=1)


def shipping(words: str = "Fixed.", *files: OutboxFile) -> Story:
    story = Story().works()
    story.uses("prt_1", EDIT)
    story.settles(Answered(text=words))
    for file in files:
        story.hear(FileShared(run=story.run, file=file))
    return story


def test_pictures_and_links_stand_under_the_words_though_no_code_was_changed() -> None:
    story = shipping("Here it is.", SHOT, REPORT)
    assert answer(story.hear(WorkFound(run=story.run, changed=False))) == (
        "Here it is.\n\n"
        "![shot.png](https://uploads.linear.app/1/shot.png)\n\n"
        "- [report.md](https://uploads.linear.app/2/report.md)"
    )


def test_files_stand_before_the_receipt() -> None:
    story = shipping("Fixed.", SHOT)
    story.hear(WorkFound(run=story.run, changed=True))
    said = answer(story.hear(Shipped(run=story.run, receipt=RECEIPT)))
    assert said.startswith(f"Fixed.\n\n![shot.png]({SHOT.url})\n\n+++ Receipt\n")


def test_files_outlive_the_request_to_commit() -> None:
    story = shipping("Fixed.", SHOT)
    story.hear(WorkFound(run=story.run, changed=True, left=("a.py",)))
    story.settles(Answered(text="Committed."))
    assert SHOT.url in answer(story.hear(Shipped(run=story.run, receipt=RECEIPT)))


def test_a_workspace_that_cannot_be_read_takes_no_file_away() -> None:
    story = shipping("Fixed.", SHOT)
    assert SHOT.url in answer(story.hear(ShipFailed(run=story.run, reason="⚠️ It cannot be read.")))


def test_an_answer_that_overflows_keeps_its_files() -> None:
    story = shipping("word " * 10_000, SHOT, REPORT)
    said = answer(story.hear(WorkFound(run=story.run, changed=False)))
    assert len(said) <= BODY_MOST
    assert said.endswith(f"[report.md]({REPORT.url})")


def test_what_is_told_twice_is_shown_once_and_the_last_news_of_a_file_count() -> None:
    later = OutboxFile(name=AWAY.name, marks=("s4", "c4"), url="https://uploads.linear.app/4/late.png", image=True)
    story = shipping("Fixed.", SHOT, AWAY, SHOT, later)
    said = answer(story.hear(WorkFound(run=story.run, changed=False)))
    assert said.count("shot.png](") == 1
    assert "could not be reached" not in said
    assert "![late.png](" in said


def test_people_read_why_a_file_is_missing() -> None:
    story = shipping("Fixed.", HUGE, AWAY)
    assert answer(story.hear(WorkFound(run=story.run, changed=False))) == (
        "Fixed.\n\n"
        "- ⚠️ `huge.bin` is not shown: it is larger than 10 MB (`outbox_mb`).\n"
        "- ⚠️ `late.png` is not shown: Linear could not be reached. It comes with my next answer."
    )


def test_the_session_knows_what_people_have_read_of() -> None:
    story = shipping("Fixed.", SHOT, HUGE, AWAY)
    story.hear(WorkFound(run=story.run, changed=False))
    assert story.session.outbox == ("s1", "c1", "s3")


def test_what_a_stopped_turn_had_brought_was_not_seen_by_anybody() -> None:
    story = shipping("Fixed.", SHOT)
    story.stops()
    story.aborts()
    assert SHOT.url not in answer(story.effects)
    assert story.session.outbox == ()


def test_a_session_remembers_within_bounds() -> None:
    known: tuple[str, ...] = ()
    for number in range(REMEMBERED):
        known = remembered(known, (OutboxFile(name="a", marks=(f"s{number}", f"c{number}")),))
    assert len(known) == REMEMBERED
    assert known[-1] == f"c{REMEMBERED - 1}"
    assert remembered(known, (OutboxFile(name="b", marks=(known[0],)),)) == known


@pytest.mark.parametrize(
    "name, shown",
    [
        ("before after.png", "before after.png"),
        ("Übersicht (1).png", "Übersicht \\(1\\).png"),
        ("a_b*c*.md", "a\\_b\\*c\\*.md"),
        ("](https://evil.example) ![x", "\\]\\(https\\://evil.example\\) \\!\\[x"),
        ("`rm -rf`", "\\`rm -rf\\`"),
        ("<img src=x onerror=y>", "\\<img src\\=x onerror\\=y\\>"),
        ("@ann #1 | ~~x~~", "\\@ann \\#1 \\| \\~\\~x\\~\\~"),
        ("a\n\n+++ Receipt\n.png", "a \\+\\+\\+ Receipt .png"),
        ("\u202egnp.exe\x00\x1b[31m", "gnp.exe\\[31m"),
        ("\\](x", "\\\\\\]\\(x"),
        ("\ud800\ufeff\u200b", "file"),
        ("", "file"),
    ],
)
def test_a_name_in_markdown_is_a_name(name: str, shown: str) -> None:
    assert wording.name(name) == shown


def test_a_long_name_keeps_its_end() -> None:
    assert len(wording.plain_name("x" * 300 + ".png")) == wording.NAME_MOST
    assert wording.plain_name("x" * 300 + ".png").endswith(".png")


@pytest.mark.parametrize("name", ["a`b`.png", "www.evil.example", "x\n- y", "``"])
def test_a_name_in_a_sentence_is_code(name: str) -> None:
    told = wording.of_no_known_kind(name)
    assert told.count("`") == 2
    assert "\n" not in told

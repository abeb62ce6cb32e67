"""SessionManager, behaviour by behaviour; those of the first implementation carry their ids (docs/seed.md)."""

from __future__ import annotations

import re

import pytest

from dragoman import (
    IllegalStatusChange,
    LibrarySettings,
    ManagedSession,
    MessageMetadata,
    SessionManager,
    SessionOptions,
    Stats,
    UnknownSession,
)
from dragoman.errors import Refusal
from dragoman.ledger import audit
from dragoman.ledger.tx import Tx
from dragoman.manager import NOBODY
from tests.ledger_clock import HeldClock
from tests.library.contexts import CONTEXT, a_context

MINUTE_S = 60.0
THREAD = "ses_0000000000000001"


async def made(manager: SessionManager, **changes: str) -> ManagedSession:
    return await manager.create_session(a_context(**changes))


def every_row(tx: Tx) -> list[object]:
    """All that is kept, but for notes of an id without words: that a session is gone, for copies and for its return,
    and who had it made and removed."""
    notes = "('departures', 'forgotten', 'audit')"
    sql = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN {notes}"  # noqa: S608  ours
    tables = [name for (name,) in tx.execute(sql).fetchall()]
    return [row for table in tables for row in tx.execute(f"SELECT * FROM {table}").fetchall()]  # noqa: S608  ours


async def found(manager: SessionManager, id_: str) -> ManagedSession:
    session = await manager.get_session(id_)
    assert session is not None
    return session


# ── made and found ───────────────────────────────────────────────────────
async def test_t01_s39_a_new_session_is_creating_with_the_defaults_and_an_id_that_says_whose_it_is(
    manager: SessionManager, clock: HeldClock
) -> None:
    session = await manager.create_session(CONTEXT)
    assert re.fullmatch(rf"session_issue-123_user-456_{int(clock.now * 1000)}_[0-9a-z]{{6}}", session.id)
    assert session.status == "creating"
    assert (session.timeout_minutes, session.max_messages, session.message_count) == (30, 50, 0)
    assert session.context == CONTEXT
    assert (session.issue_id, session.user_id) == ("issue-123", "user-456")
    assert session.created_at == session.last_activity_at == clock.now


async def test_t02_options_override_the_settings(manager: SessionManager) -> None:
    session = await manager.create_session(CONTEXT, SessionOptions(timeout_minutes=60, max_messages=100))
    assert (session.timeout_minutes, session.max_messages) == (60, 100)


async def test_t03_two_sessions_for_the_same_context_have_different_ids(manager: SessionManager) -> None:
    assert (await made(manager)).id != (await made(manager)).id
    assert (await manager.get_stats()).total == 2


async def test_t04_s40_a_session_is_found_by_its_id(manager: SessionManager) -> None:
    session = await made(manager)
    assert await manager.get_session(session.id) == session


async def test_t05_an_unknown_id_gives_none(manager: SessionManager) -> None:
    assert await manager.get_session("session_nobody_nobody_1_aaaaaa") is None


async def test_t06_it_is_found_again_by_the_same_id_as_it_stands_by_then(manager: SessionManager) -> None:
    session = await made(manager)
    assert await manager.get_session(session.id) == session
    await manager.add_message(session.id, "user", "Hello")
    again = await found(manager, session.id)
    assert (again.id, again.message_count) == (session.id, 1)
    assert session.message_count == 0  # what was handed out stays what it was


async def test_t18_a_session_is_found_by_issue_and_user_an_active_one_first(
    manager: SessionManager, clock: HeldClock
) -> None:
    old = await made(manager)
    clock.now += 1
    newest = await made(manager)
    other = await made(manager, user_id="user-other")
    assert await manager.get_session_by_issue("issue-123", "user-456") == newest
    over = await manager.complete_session(newest.id, "done")
    assert await manager.get_session_by_issue("issue-123", "user-456") == old
    await manager.complete_session(old.id, "done")
    assert await manager.get_session_by_issue("issue-123", "user-456") == over
    assert await manager.get_session_by_issue("issue-123", "user-other") == other
    assert await manager.get_session_by_issue("issue-123", "nobody") is None


@pytest.mark.parametrize("field", ["issue_id", "issue_title", "user_id", "user_name", "comment_id", "mention_text"])
async def test_a_context_that_lacks_something_is_refused_by_name(manager: SessionManager, field: str) -> None:
    words = field.split("_")
    named = words[0] + "".join(word.title() for word in words[1:])
    with pytest.raises(Refusal, match=f"says nothing in: {named}"):
        await made(manager, **{field: ""})
    assert (await manager.get_stats()).total == 0


async def test_options_that_are_none_are_refused(manager: SessionManager) -> None:
    with pytest.raises(Refusal, match="timeout_minutes must be greater than 0, not -1"):
        await manager.create_session(CONTEXT, SessionOptions(timeout_minutes=-1))
    with pytest.raises(Refusal, match="max_messages must be greater than 0, not 0"):
        await manager.create_session(CONTEXT, SessionOptions(max_messages=0))


async def test_without_sessions_none_is_made_and_it_says_which_setting_does_that() -> None:
    async with SessionManager.open(LibrarySettings(enabled=False)) as manager:
        with pytest.raises(Refusal, match="set ENABLE_SESSIONS=true"):
            await made(manager)


# ── status ───────────────────────────────────────────────────────────────
async def test_t07_s41_a_status_update_is_visible(manager: SessionManager) -> None:
    session = await made(manager)
    assert (await manager.update_session_status(session.id, "active")).status == "active"
    assert (await found(manager, session.id)).status == "active"


async def test_s13_the_whole_way_of_a_session_is_told_in_its_status(manager: SessionManager, clock: HeldClock) -> None:
    seen = [(session := await made(manager)).status]
    seen.append((await manager.link_opencode_session(session.id, THREAD)).status)
    clock.now += 31 * MINUTE_S
    await manager.cleanup()
    seen.append((await found(manager, session.id)).status)
    seen.append((await manager.reactivate_session(session.id)).status)
    seen.append((await manager.update_session_status(session.id, "error", "no disk")).status)
    seen.append((await manager.complete_session(session.id, "given up")).status)
    assert seen == ["creating", "active", "timeout", "active", "error", "completed"]
    changes = (await found(manager, session.id)).changes
    assert [change.status for change in changes] == seen
    assert changes[2].at - changes[1].at == 31 * MINUTE_S


async def test_t08_s43_a_completed_session_is_completed(manager: SessionManager) -> None:
    session = await made(manager)
    assert (await manager.complete_session(session.id, "Task completed")).status == "completed"
    assert (await found(manager, session.id)).status == "completed"


async def test_t19_completing_adds_a_system_message_with_the_reason(manager: SessionManager) -> None:
    session = await made(manager)
    await manager.add_message(session.id, "user", "Hello")
    await manager.complete_session(session.id, "Task completed")
    last = (await found(manager, session.id)).messages[-1]
    assert (last.role, last.text) == ("system", "Session completed: Task completed")


async def test_completing_twice_is_completing_once(manager: SessionManager) -> None:
    session = await made(manager)
    await manager.complete_session(session.id, "Task completed")
    assert len((await manager.complete_session(session.id, "and again")).messages) == 1


async def test_t16_a_completed_session_is_reactivated(manager: SessionManager) -> None:
    session = await made(manager)
    await manager.complete_session(session.id, "Task completed")
    assert (await manager.reactivate_session(session.id)).status == "active"
    assert (await found(manager, session.id)).messages[0].text == "Session completed: Task completed"


@pytest.mark.parametrize(
    "before, wanted",
    [("completed", "error"), ("completed", "timeout"), ("completed", "creating"), ("active", "creating"),
     ("timeout", "error")],
)  # fmt: skip
async def test_an_illegal_change_raises_with_both_statuses_named_and_changes_nothing(
    manager: SessionManager, before: str, wanted: str
) -> None:
    session = await made(manager)
    await manager.update_session_status(session.id, before)  # type: ignore[arg-type]  # a test's words
    stands = await found(manager, session.id)
    with pytest.raises(IllegalStatusChange, match=f"is {before}; from there it cannot become {wanted}") as refused:
        await manager.update_session_status(session.id, wanted)  # type: ignore[arg-type]
    assert (refused.value.before, refused.value.wanted) == (before, wanted)
    assert await found(manager, session.id) == stands


async def test_the_status_that_it_has_already_changes_nothing(manager: SessionManager) -> None:
    session = await made(manager)
    assert await manager.update_session_status(session.id, "creating") == session
    await manager.complete_session(session.id, "done")
    assert (await manager.update_session_status(session.id, "completed", "again")).message_count == 1


async def test_what_is_asked_of_an_unknown_session_raises_with_its_id(manager: SessionManager) -> None:
    calls = [
        manager.update_session_status("nobody", "active"),
        manager.complete_session("nobody", "done"),
        manager.reactivate_session("nobody"),
        manager.add_message("nobody", "user", "Hello"),
        manager.link_opencode_session("nobody", THREAD),
        manager.increment_error_count("nobody"),
    ]
    for call in calls:
        with pytest.raises(UnknownSession, match="There is no session 'nobody'"):
            await call


async def test_a_status_that_is_none_is_refused_with_those_that_there_are(manager: SessionManager) -> None:
    session = await made(manager)
    there = "'bogus' is no status of a session: it is creating, active, completed, error or timeout"
    with pytest.raises(Refusal, match=there):
        await manager.update_session_status(session.id, "bogus")  # type: ignore[arg-type]  # that is the test
    await manager.complete_session(session.id)
    with pytest.raises(IllegalStatusChange, match=r"cannot become error, only active\.$"):
        await manager.update_session_status(session.id, "error")


@pytest.mark.parametrize("context, options", [(None, None), ("issue-1", None), (CONTEXT, {"timeout_minutes": 5})])
async def test_a_session_is_made_from_a_context_and_options_only(
    manager: SessionManager, context: object, options: object
) -> None:
    with pytest.raises(Refusal, match=r"A session is made from a \w+, not from a \w+\."):
        await manager.create_session(context, options)  # type: ignore[arg-type]  # that is the test
    assert (await manager.get_stats()).total == 0


async def test_what_a_program_does_to_a_session_is_in_the_audit_trail_refusals_included(
    manager: SessionManager,
) -> None:
    session = await made(manager)
    await manager.add_message(session.id, "user", "Hello")
    await manager.complete_session(session.id)
    with pytest.raises(IllegalStatusChange):
        await manager.update_session_status(session.id, "timeout")
    await manager.reactivate_session(session.id)
    await manager.update_session_status(session.id, "active")  # it is
    await manager.delete_session(session.id)
    rows = await manager._ledger.read(audit.newest)
    assert {(row.source, row.session, row.organization) for row in rows} == {("library", session.id, NOBODY)}
    assert [(row.action, row.verdict) for row in reversed(rows)] == [
        ("create", "allowed"),
        ("complete", "allowed"),
        ("set_timeout", "status"),
        ("reactivate", "allowed"),
        ("delete", "allowed"),
    ]
    assert await manager._ledger.read(audit.verify) is None


# ── messages ─────────────────────────────────────────────────────────────
async def test_t09_two_messages_make_a_count_of_two(manager: SessionManager) -> None:
    session = await made(manager)
    await manager.add_message(session.id, "user", "Hello")
    await manager.add_message(session.id, "assistant", "Hi")
    assert (await found(manager, session.id)).message_count == 2


async def test_t20_s42_s58_messages_of_both_keep_their_order(manager: SessionManager, clock: HeldClock) -> None:
    session = await made(manager)
    await manager.add_message(session.id, "user", "Hello")
    clock.now += 5
    await manager.add_message(session.id, "assistant", "Hi, how can I help?")
    messages = (await found(manager, session.id)).messages
    assert [(message.role, message.text, message.at) for message in messages] == [
        ("user", "Hello", clock.now - 5),
        ("assistant", "Hi, how can I help?", clock.now),
    ]


async def test_t21_the_count_follows_the_messages(manager: SessionManager) -> None:
    session = await made(manager)
    for number in range(1, 4):
        assert (await manager.add_message(session.id, "user", f"{number}")).message_count == number
    assert (await manager.complete_session(session.id, "done")).message_count == 4
    stands = await found(manager, session.id)
    assert stands.message_count == len(stands.messages)


async def test_a_session_says_when_it_has_all_the_messages_that_it_may(manager: SessionManager) -> None:
    session = await manager.create_session(CONTEXT, SessionOptions(max_messages=2))
    assert not (await manager.add_message(session.id, "user", "1")).is_full
    assert (await manager.add_message(session.id, "user", "2")).is_full


async def test_t22_s14_the_metadata_of_a_message_is_kept(manager: SessionManager) -> None:
    session = await made(manager)
    about = MessageMetadata(
        author="Ann", linear_comment_id="comment-1", opencode_message_id="msg_1", tokens=12, cost=0.25
    )
    await manager.add_message(session.id, "user", "Hello", about)
    await manager.add_message(session.id, "assistant", "Hi", {"opencode_message_id": "msg_2"})
    first, second = (await found(manager, session.id)).messages
    assert first.metadata == about
    assert second.metadata == MessageMetadata(opencode_message_id="msg_2")


async def test_metadata_that_is_unknown_is_refused_with_what_there_is(manager: SessionManager) -> None:
    session = await made(manager)
    with pytest.raises(Refusal, match=r"unknown field `comment`.*It may hold author, linear_comment_id"):
        await manager.add_message(session.id, "user", "Hello", {"comment": "c"})
    with pytest.raises(Refusal, match="'robot' is no role"):
        await manager.add_message(session.id, "robot", "Hello")  # type: ignore[arg-type]  # that is the test
    assert (await found(manager, session.id)).messages == ()


HALF = "\ud83d"  # of an emoji that was cut


async def test_half_a_character_is_kept_as_the_sign_for_one(manager: SessionManager) -> None:
    session = await made(manager, mention_text=f"cut {HALF}", issue_title=HALF)
    assert session.context is not None
    assert (session.context.mention_text, session.context.issue_title) == ("cut \ufffd", "\ufffd")
    await manager.add_message(session.id, "user", f"{HALF}\ude00 and {HALF}.", {"author": HALF})
    message = (await found(manager, session.id)).messages[0]
    assert (message.text, message.metadata.author) == ("😀 and \ufffd.", "\ufffd")
    await manager.increment_error_count(session.id, HALF)
    done = await manager.complete_session(session.id, f"done {HALF}")
    assert done.messages[-1].text == "Session completed: done \ufffd"
    assert await manager.get_session(HALF) is None
    assert await manager.get_session_by_issue(HALF, HALF) is None


async def test_a_message_without_a_text_is_refused(manager: SessionManager) -> None:
    session = await made(manager)
    with pytest.raises(Refusal, match=r"This cannot be kept: Expected `str`, got `null` - at `\$\.text`"):
        await manager.add_message(session.id, "user", None)  # type: ignore[arg-type]  # that is the test
    assert (await found(manager, session.id)).messages == ()


# ── errors, links, the end ───────────────────────────────────────────────
async def test_t10_an_error_counts_one_and_the_third_in_a_row_makes_the_status(manager: SessionManager) -> None:
    session = await made(manager)
    assert (await manager.increment_error_count(session.id)).error_count == 1
    second = await manager.increment_error_count(session.id)
    assert (second.error_count, second.status) == (2, "creating")
    third = await manager.increment_error_count(session.id, "OpenCode is away")
    assert (third.error_count, third.status) == (3, "error")
    assert third.messages[-1].text == "Session failed: OpenCode is away"
    assert (await manager.reactivate_session(session.id)).error_count == 0


async def test_t12_a_linked_opencode_session_is_readable_and_makes_it_active(manager: SessionManager) -> None:
    session = await made(manager)
    assert session.opencode_session_id is None
    linked = await manager.link_opencode_session(session.id, THREAD)
    assert (linked.opencode_session_id, linked.status) == (THREAD, "active")


async def test_a_session_that_is_over_takes_no_link_and_no_error(manager: SessionManager) -> None:
    session = await made(manager)
    await manager.complete_session(session.id, "done")
    with pytest.raises(Refusal, match="is completed; reactivate it first"):
        await manager.link_opencode_session(session.id, THREAD)
    with pytest.raises(Refusal, match="is completed; reactivate it first"):
        await manager.increment_error_count(session.id)


async def test_t17_a_deleted_session_is_gone_with_all_that_was_said(manager: SessionManager) -> None:
    session, other = await made(manager), await made(manager)
    await manager.add_message(session.id, "user", "a secret of the house")
    await manager.complete_session(session.id)
    assert session.id in str(await manager._ledger.read(every_row))
    assert await manager.delete_session(session.id)
    assert await manager.get_session(session.id) is None
    assert not await manager.delete_session(session.id)
    assert await manager.get_session(other.id) == other
    rows = await manager._ledger.read(every_row)
    assert other.id in str(rows)
    assert session.id not in str(rows)
    assert "a secret of the house" not in str(rows)


# ── numbers ──────────────────────────────────────────────────────────────
async def test_t11_t15_s44_a_session_that_is_being_created_counts_as_active(manager: SessionManager) -> None:
    await made(manager)
    assert await manager.get_stats() == Stats(total=1, active=1, completed=0, error=0, timeout=0)


async def test_t13_three_sessions_are_counted_by_their_status(manager: SessionManager) -> None:
    for status in ("active", "completed", "error"):
        await manager.update_session_status((await made(manager)).id, status)
    assert await manager.get_stats() == Stats(total=3, active=1, completed=1, error=1, timeout=0)


async def test_t14_s57_only_the_two_active_sessions_are_listed(manager: SessionManager, clock: HeldClock) -> None:
    creating = await made(manager)
    clock.now += 1
    active = await manager.update_session_status((await made(manager)).id, "active")
    await manager.complete_session((await made(manager)).id, "done")
    assert await manager.get_active_sessions() == [active, creating]


# ── time ─────────────────────────────────────────────────────────────────
async def test_t23_after_its_time_a_session_is_over_with_a_line_that_says_so(
    manager: SessionManager, clock: HeldClock
) -> None:
    session = await manager.create_session(CONTEXT, SessionOptions(timeout_minutes=1))
    longer = await made(manager)
    clock.now += 2 * MINUTE_S
    assert await manager.cleanup() == 1
    over = await found(manager, session.id)
    assert over.status == "timeout"
    assert [(message.role, message.text) for message in over.messages] == [
        ("system", "Session timed out after 1 minutes")
    ]
    assert (await found(manager, longer.id)).status == "creating"
    assert await manager.get_stats() == Stats(total=2, active=1, completed=0, error=0, timeout=1)
    assert await manager.cleanup() == 0


async def test_a_message_gives_a_session_its_time_anew(manager: SessionManager, clock: HeldClock) -> None:
    session = await made(manager)
    clock.now += 29 * MINUTE_S
    await manager.add_message(session.id, "user", "I am still here")
    clock.now += 29 * MINUTE_S
    assert await manager.cleanup() == 0
    clock.now += 2 * MINUTE_S
    assert await manager.cleanup() == 1


async def test_a_session_that_timed_out_goes_on_with_its_messages(manager: SessionManager, clock: HeldClock) -> None:
    session = await made(manager)
    await manager.add_message(session.id, "user", "Hello")
    clock.now += 31 * MINUTE_S
    await manager.cleanup()
    again = await manager.reactivate_session(session.id)
    assert again.status == "active"
    assert [message.text for message in again.messages] == ["Hello", "Session timed out after 30 minutes"]
    clock.now += 29 * MINUTE_S
    assert await manager.cleanup() == 0

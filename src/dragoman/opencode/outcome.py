"""How a run ended, read from its messages. Pure.

Status alone never says it: OpenCode forgets its runs when it dies and then reports everything idle, and on an abort
or an error it reports idle before it has written the end. So: idle, and what the messages say, seen twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from dragoman import logs
from dragoman.core.events.opencode import Aborted, Answered, Broke, Cause, Declined, Outcome, Usage
from dragoman.core.trouble import read_trouble
from dragoman.ids import MessageId
from dragoman.opencode import wire

Cut = Literal["cut"]
_NAMED: Final[dict[str, Cause]] = {
    "ProviderAuthError": "credentials",
    "ContextOverflowError": "context",
    "MessageOutputLengthError": "cut_off",
    "ContentFilterError": "cut_off",
    "StructuredOutputError": "model",
}
_STATUS: Final[dict[int, Cause]] = {
    401: "credentials", 402: "credentials", 403: "credentials", 404: "not_found",
    408: "timeout", 413: "context", 429: "rate_limit", 504: "timeout", 529: "server",
}  # fmt: skip
_FINISHED: Final = frozenset({"stop", "end_turn", "end-turn"})


def last_words(message: wire.Message) -> str:
    """What the agent said after its last tool in this message."""
    said: list[str] = []
    for part in message.parts:
        if part.type == "tool":
            said.clear()
        elif part.type == "text" and not part.synthetic and not part.ignored and part.text.strip():
            said.append(part.text.strip())
    return "\n\n".join(said)


def is_summary(message: wire.Message) -> bool:
    """Whether it is compaction's own message: its words are for the model, not for people."""
    return message.info.role == "assistant" and message.info.summary is True


def is_compaction(message: wire.Message) -> bool:
    """Whether it is the user message with which OpenCode tells itself to summarise."""
    return any(part.type == "compaction" for part in message.parts)


def usage_of(messages: Sequence[wire.Message]) -> Usage:
    """Tokens and cost of all assistant messages, and who wrote the newest; cached input and reasoning are counted in."""
    answers = [message.info for message in messages if message.info.role == "assistant"]
    return Usage(
        input_tokens=int(sum(i.tokens.input + i.tokens.cache.read + i.tokens.cache.write for i in answers)),
        output_tokens=int(sum(i.tokens.output + i.tokens.reasoning for i in answers)),
        cost=sum(i.cost for i in answers),
        model=next((f"{i.providerID}/{i.modelID}" for i in reversed(answers) if i.modelID), ""),
    )


def broke(error: wire.MessageError, text: str = "") -> Broke:
    """A failure of the model's provider or of OpenCode, with the cause as a stable word."""
    message = logs.masked(error.data.message.strip() or error.name)  # providers quote the key that they refuse
    return Broke(cause=_cause(error, message.lower()), message=message, text=text)


def _cause(error: wire.MessageError, message: str) -> Cause:
    if (cause := _NAMED.get(error.name)) is not None:
        return cause
    status = error.data.statusCode
    if status is not None:
        if "context" in message and ("length" in message or "window" in message):
            return "context"
        if status == 404 or (status == 400 and "model" in message and "not" in message):
            return "not_found"
        return _STATUS.get(status, "server" if status >= 500 else "model")
    cause = cause_of(message)
    if cause == "not_found" and not any(word in message for word in ("model", "agent")):
        return "other"  # a file, perhaps
    return cause


def cause_of(message: str) -> Cause:
    """The cause as far as the words tell it; for what comes without a status."""
    return read_trouble(message).cause


def read_outcome(messages: Sequence[wire.Message], errors: Sequence[wire.MessageError]) -> Outcome | Cut | None:
    """How the run of these messages ended, given that OpenCode is idle.

    messages  the run's, oldest first, beginning with our first
    errors    those that came as events only, since the newest of our messages
    returns   "cut" when it was interrupted; None when nothing is known of it yet
    """
    if not messages:
        return _without_answer(errors, "") if errors else None
    usage = usage_of(messages)
    last = messages[-1]
    answers = [m for m in messages if m.info.role == "assistant" and not is_summary(m)]
    text = last_words(answers[-1]) if answers else ""
    if last.info.role != "assistant":
        # Nothing answers the newest message: an error that never became a message, or a run that was cut.
        return _without_answer(errors, text) if errors else "cut"
    if is_summary(last):
        return broke(last.info.error, text) if last.info.error is not None else "cut"
    return _read_answer(last, text, usage)


def _without_answer(errors: Sequence[wire.MessageError], text: str) -> Outcome:
    if errors[0].name == "MessageAbortedError":
        return Aborted(text=text)
    return broke(errors[0], text)


def _read_answer(last: wire.Message, text: str, usage: Usage) -> Outcome | Cut:
    info = last.info
    if info.error is not None:
        if info.error.name == "MessageAbortedError":
            return Aborted(text=text)
        return broke(info.error, text)
    if info.time.completed is None:
        return "cut"
    if info.finish in _FINISHED:
        return Answered(text=text, message=MessageId(info.id), usage=usage)
    if info.finish == "tool-calls":
        return Declined(text=text) if _declined(last) else "cut"
    if info.finish is None:
        # Aborted while it waited to try the provider again: completed, and otherwise like a success without words.
        return Aborted(text=text)
    return Broke(cause="cut_off", message=f"the model stopped early ({info.finish})", text=text)


def _declined(message: wire.Message) -> bool:
    """Whether a person's no ended the run. A rejection with a message lets it go on and is not meant."""
    errors = [part.state.error or "" for part in message.parts if part.state is not None and part.state.error]
    return any(
        ("rejected permission" in error and "feedback" not in error) or "dismissed this question" in error
        for error in errors
    )


def tools_started(messages: Sequence[wire.Message]) -> bool:
    """Whether a tool was started after the last user message among these."""
    for message in reversed(messages):
        if message.info.role == "user" and not is_compaction(message) and not _synthetic(message):
            return False
        if any(part.state is not None and part.state.status != "pending" for part in message.parts):
            return True
    return False


def _synthetic(message: wire.Message) -> bool:
    return bool(message.parts) and all(part.synthetic for part in message.parts)

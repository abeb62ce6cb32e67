"""What people read in Linear.

Source  linear.app/developers/agent-interaction: five content types; only thoughts and actions may be ephemeral
"""

from __future__ import annotations

from dragoman.record import Record


class Choice(Record):
    """One option of an elicitation.

    value  what we expect back (people may answer with the label or in free text, too)
    label  what the button says
    """

    value: str
    label: str


class Thought(Record):
    """Markdown; never blank. `fleeting` is Linear's `ephemeral`: gone when the next activity comes."""

    body: str
    fleeting: bool = False


class Action(Record):
    """One tool call: `verb` ("Ran"), `subject` (at most 200 characters), `result` (Markdown, None while it runs)."""

    verb: str
    subject: str
    result: str | None = None
    fleeting: bool = False


class Elicitation(Record):
    """A question to people. With `choices` it is shown as buttons (signal `select`)."""

    body: str
    choices: tuple[Choice, ...] = ()


class Response(Record):
    """The final answer of a turn."""

    body: str


class Failure(Record):
    """The final answer of a turn that failed: Linear's `error` activity, which marks the session as failed."""

    body: str


class Offer(Record):
    """The final answer of a turn together with a way on: Linear's elicitation with buttons, which nothing waits for."""

    body: str
    choices: tuple[Choice, ...]


Activity = Thought | Action | Elicitation | Response | Failure | Offer
Final = Response | Failure | Offer


def is_final(activity: Activity) -> bool:
    """Whether it ends a turn."""
    return isinstance(activity, Response | Failure | Offer)


def is_fleeting(activity: Activity) -> bool:
    """Whether it may be dropped when it is late."""
    return isinstance(activity, Thought | Action) and activity.fleeting

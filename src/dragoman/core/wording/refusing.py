"""What people read who may not do this, or too much of it."""

from __future__ import annotations

from dragoman.core.events.linear import RequestRefused
from dragoman.core.text import one_line

AFTER_REFUSAL = "The work goes on."


def refused(event: RequestRefused) -> str:
    """The one reply to somebody who may not do this; what they wrote is not repeated."""
    name = f", {one_line(event.person.name, 80)}" if event.person is not None else ""
    if event.reason in {"person_pace", "organization_pace"}:
        whose = "your" if event.reason == "person_pace" else "the whole organization's"
        return (
            f"I'm sorry{name}, that is more than I can take at once: {whose} limit of messages a minute is used up. "
            "I did not pass this one on, and I stay silent on further ones for a minute. Please send it again then."
        )
    what = {
        "start": "take this on",
        "answer": "take this as the answer",
        "approve": "take this as permission",
        "stop": "stop this for you",
    }[event.deed]
    why = {
        "nobody": "I cannot see which person it comes from, and I work only for people whom I know.",
        "user": "you are not among the people whom I may work for.",
        "team": "I may not work on issues of this team.",
        "rule": {
            "start": "only some people may give me work here.",
            "answer": "only some people may answer my questions here.",
            "approve": "only some people may give permissions here.",
            "stop": "only some people may stop me here.",
        }[event.deed],
    }[event.reason]
    after = "" if event.deed == "stop" else " Nothing of your message was passed on to the agent."
    return f"I'm sorry{name}, I may not {what}: {why}{after} Whoever runs me can change that."


def too_many_sessions(limit: int) -> str:
    """Said once; further sessions of the same hour stay silent."""
    return (
        f"This issue has had more than {limit} agent sessions within an hour, which looks like a loop, so I am not "
        "starting another. Try again later, or raise `SESSION_MAX_PER_ISSUE_HOUR`."
    )

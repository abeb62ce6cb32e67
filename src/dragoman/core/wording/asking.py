"""What the agent asks of people, and what became of the answer."""

from __future__ import annotations

from dragoman.core.events.opencode import PermissionAsked, Question
from dragoman.core.text import one_line

SOMEBODY = "somebody"
ASK_GONE = "That question is settled; going on."


def permission(ask: PermissionAsked) -> str:
    """What the agent wants to be allowed to do."""
    subject = one_line(ask.subject, 1_000).replace("`", "'")
    return (
        f"May I use **{ask.permission}**?\n\n`{subject}`\n\n"
        "Choose below. Any other text declines it and is passed on to the agent."
    )


def permission_always(ask: PermissionAsked) -> str:
    """The label of the choice that also covers later calls."""
    covers = ", ".join(ask.always)
    return f"Always allow {one_line(covers, 60)}" if covers else "Always allow"


def permission_answered(reply: str) -> str:
    """The acknowledgement of an answer to a permission."""
    return {"once": "Allowed once.", "always": "Allowed, and from now on until this work ends."}.get(
        reply, "Declined; I told the agent why."
    )


def permission_expired(minutes: int) -> str:
    """Nobody answered a permission in time."""
    return f"Nobody answered within {minutes} minutes, so I declined it and the agent goes on without."


PERMISSION_EXPIRED_FOR_AGENT = (
    "Nobody was there to approve this in time. Go on without it if you can; otherwise say what you would need."
)


def declined_for_agent(words: str) -> str:
    """What the agent reads when a person declined a permission."""
    return f"The person declined this and wrote: {words}" if words else "The person declined this. Go on without it."


def question(asked: Question, number: int, total: int) -> str:
    """A question of the agent to people."""
    count = f" ({number} of {total})" if total > 1 else ""
    head = f"**{one_line(asked.header, 80)}**{count}\n\n" if asked.header else ""
    lines = [f"- **{label}**: {described}" for label, described in asked.options if described and described != label]
    more = "\n\nSeveral may be chosen, separated by commas." if asked.multiple else ""
    return head + asked.text + ("\n\n" + "\n".join(lines) if lines else "") + more


def answer_for_agent(questions: tuple[Question, ...], answers: tuple[tuple[str, ...], ...]) -> str:
    """What a person answered, for an agent that may not have heard it."""
    return "; ".join(
        f"“{one_line(asked.text, 300)}”: {', '.join(answer)}" for asked, answer in zip(questions, answers, strict=True)
    )


def question_answered(answer: str) -> str:
    """The acknowledgement of an answer to a question."""
    return f"Thanks: “{one_line(answer, 120)}”. Going on."

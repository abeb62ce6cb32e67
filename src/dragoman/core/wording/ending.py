"""How a turn or a session ended when the agent did not end it with an answer."""

from __future__ import annotations

from dragoman.core.text import one_line

NOTHING_RUNNING = "Nothing was running, so there was nothing to stop. Write to me to begin."
WRITTEN_BEFORE_STOP = (
    "This message was written before you pressed Stop, so I did not start it. Send it again if it still holds."
)
NOT_CONFIRMED = "OpenCode has not confirmed that everything ended"  # a clause, put into `stopped`
UNVERIFIED_END = "\n\nOpenCode has not confirmed that everything ended."
NO_WORDS = "The work has ended, but the agent left no closing words. The actions above show what was done."
ENDED_ELSEWHERE = "The run was ended from outside before it gave an answer. Write to me to go on."
DECLINED = "I stopped here because the request was declined. Tell me how to go on."


def stopped(verified: bool, detail: str, dropped: int) -> str:
    """The confirmation of a stop; it also says what could not be verified."""
    text = "Stopped." if verified else "Stopped, as far as I can tell."
    if detail:
        text += f" {detail[:1].upper()}{detail[1:]}" + ("" if detail.endswith(".") else ".")
    return text + not_started(dropped) + " Write to me to go on; the work so far is kept."


def not_started(dropped: int) -> str:
    """What became of the messages that waited, to be put behind a sentence; empty when there were none."""
    return f" {dropped} waiting message{'s were' if dropped > 1 else ' was'} not started." if dropped else ""


def withdrawn(reason: str) -> str:
    """Why the work ended without Stop."""
    match reason:
        case "unassigned":
            return "I was unassigned, so I stopped. The work so far is kept."
        case "issue_completed":
            return "The issue was completed, so I stopped. The work so far is kept."
        case "issue_canceled":
            return "The issue was canceled, so I stopped. The work so far is kept."
        case "requested":
            return (
                "The session was completed from outside, so I stopped. The work so far is kept. Write to me to go on."
            )
        case "timeout":
            return "The session was ended as timed out, so I stopped. The work so far is kept. Write to me to go on."
        case _:
            return "My access was revoked, so I stopped."


def completed_line(reason: str) -> str:
    """What the conversation keeps of a completion by command."""
    return f"Session completed: {reason}" if reason else "Session completed"


def timed_out_line(minutes: float) -> str:
    """What the conversation keeps of a time-out."""
    return f"Session timed out after {minutes:g} minutes"


def failed_line(reason: str) -> str:
    """What the conversation keeps of a status that was set to error by hand."""
    return f"Session failed: {reason}" if reason else "Session failed"


def failed_by_hand(reason: str) -> str:
    """The final activity of a turn that somebody ended by setting the status to error."""
    why = f": {one_line(reason, 300)}" if reason else ""
    return f"The session was marked as failed from outside{why}. Work done so far is kept. Write to me to go on."

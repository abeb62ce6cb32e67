"""Every sentence that we say to people. Markdown; plain words; what happened, and what they can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dragoman.core.events.linear import Issue, Prompt, RequestRefused
from dragoman.core.events.opencode import Broke, Cause, PermissionAsked, Question, RunRetrying
from dragoman.core.events.runs import RunWaiting, SetupRan

QUEUED = "Queued: I start on this when the current work is done."
STEERED = "Got it. I am passing this on to the running work; one answer will cover both."
EARLY = "Got it. I take this along as the work begins."
NOTHING_RUNNING = "Nothing was running, so there was nothing to stop. Write to me to begin."
WRITTEN_BEFORE_STOP = (
    "This message was written before you pressed Stop, so I did not start it. Send it again if it still holds."
)
NOT_CONFIRMED = "OpenCode has not confirmed that everything ended"  # a clause, put into `stopped`
UNVERIFIED_END = "\n\nOpenCode has not confirmed that everything ended."
UNBLOCKED = "Nothing blocks this issue any more. I begin now."
COMPACTED = "The conversation had grown long; I summarised it and go on."
ASK_GONE = "That question is settled; going on."
ASKED_AGAIN_LATER = "OpenCode was interrupted while it waited for you. It goes on now and will ask again if it must."
NO_WORDS = "The work has ended, but the agent left no closing words. The actions above show what was done."
ENDED_ELSEWHERE = "The run was ended from outside before it gave an answer. Write to me to go on."
WORK_ON_IT = "Work on it"
BUILD_IT = "Build it"
DROP_IT = "Drop it"
PLAN_OFFER = f"Shall I build this? Choose “{BUILD_IT}” or “{DROP_IT}”, or write what to change and I plan again."
PLAN_DROPPED = "Dropped: nothing was changed. Write to me when you want another plan."
PLAN_APPROVED = "Approved. I build it now."
PLAN_AGAIN = "I take that along and plan again."
READING_FIRST = "I have heard you. I read the issue first."
GUIDE = (
    "**How to work with me**\n\n"
    "- Delegate the issue to me, or mention me and say what to do (“fix the parser”, “add a test”): I begin a session, "
    "work on a branch and show each step here.\n"
    "- Ask me anything else and I answer without changing anything. My answer ends with “Work on it”, if you want more.\n"
    "- Write here while I work and I take it along; begin with `/queue` to have it done afterwards. Stop ends the work.\n"
    "- When I ask, choose an option or answer in your own words.\n"
    "- `[agent=plan]`, `[model=provider/model]`, `[template=name]`, `[repo=owner/name]` or `[priority=high]` in your "
    "request choose with what I work; labels such as `model:provider/model` do the same."
)
PLAN_HEAD = "**Plan**"
STEP_FAILED = " (failed)"
DECLINED = "I stopped here because the request was declined. Tell me how to go on."


SOMEBODY = "somebody"
PULL_REQUEST = "Pull request"
QUEUED_WHILE_SHIPPING = "Queued: I am handing in the finished work; I start on this right after."
NUDGED = "Some changes are not committed yet, so I asked the agent to commit what belongs to the work."
SHIPPING_OVERDUE = (
    "⚠️ Handing in the work has taken too long, so I do not keep you waiting. The work is kept, and I go on trying to "
    "push it and to open the pull request."
)
UNASKABLE = (
    "The agent had a question for you, but Linear did not take it, so I ended the run; the log has the details. "
    "Work done so far is kept. Write to me to go on."
)
ABORT_BROKE = "Something broke on my side while I looked whether the work has ended"


def progress_head(*, ended: bool) -> str:
    """The first line of the comment that shows the progress of a turn."""
    return "**What I did**" if ended else "**Working on it…**"


def earlier_steps(count: int) -> str:
    """Stands for the steps that the comment no longer lists."""
    return f"… {count} earlier step{'s' if count > 1 else ''} …"


def further_items(count: int) -> str:
    """Stands for the end of a long plan."""
    return f"… and {count} more"


def all_steps(link: str) -> str:
    """Where every step stands in full."""
    return f"[All steps]({link})"


def choose_by_number(count: int) -> str:
    """How to choose where there are no buttons."""
    number = "the number" if count > 1 else "“1”"
    return f"Reply in this thread with {number}, with the words, or in words of your own."


def unshowable(session: str) -> str:
    """Stands for a final activity that Linear refused."""
    return (
        "The work has ended, but Linear did not take the words of the answer, so I cannot show it here. It is kept: "
        f"whoever runs me can read it with `dragoman sessions show {session}`."
    )


def broke_on_our_side(run: str) -> str:
    """A bug of ours ended the turn."""
    return f"Something broke on my side, so I could not go on; the log has `run={run}`. Write to me to try again."


def broke_while_shipping(run: str) -> str:
    """A bug of ours kept the work from being delivered."""
    return (
        f"⚠️ Something broke on my side while I handed in the work; the log has `run={run}`. The work is kept. "
        "Write to me to try again."
    )


def session_started(issue: Issue | None, prompt: Prompt) -> str:
    """The first thing people read, before anything slow is touched."""
    if issue is None:
        return "🚀 **Session Started!** I am preparing a workspace and will show each step here."
    doing = "You handed me" if prompt.kind == "delegation" else "I'll work on"
    return (
        f"🚀 **Session Started!** {doing} **{issue.key}** “{one_line(issue.title, 120)}”. "
        "I am preparing a workspace and will show each step here."
    )


def which_repository(unknown: str, *, again: bool) -> str:
    """The question in which repository it is to be worked. `unknown`: what the request named and nobody configured."""
    if again:
        return "I did not understand which repository that is. Choose one below, or write its name."
    if unknown:
        return f"I do not know the repository “{one_line(unknown, 100)}”. In which one shall I work?"
    return "In which repository shall I work? Choose one, or write its name. I remember it for this issue."


def place_chosen(name: str) -> str:
    """People chose a repository."""
    return f"I work in **{name}**, for this issue from now on."


def no_place(names: Iterable[str]) -> str:
    """Nobody could be understood: the turn ends."""
    return (
        "I still do not know in which repository to work, so I have not begun; nothing was changed. Write the request "
        f"again with its name, such as `repo:{next(iter(names), 'owner/name')}`."
    )


def stays_in(name: str, named: str) -> str:
    """A later request names another repository than the session works in."""
    return (
        f"This session works in **{name}**, so I stay there. For work in {one_line(named, 100)}, mention me in a new "
        "comment and name it."
    )


def turn_started(prompt: Prompt) -> str:
    """The first thought of a later turn: it names what begins."""
    words = one_line(prompt.text, 120)
    return f"On it: “{words}”" if words else "On it."


def answering(prompt: Prompt) -> str:
    """The first thought of a simple answer."""
    words = one_line(prompt.text, 120)
    return f"Looking into it: “{words}”" if words else "Looking into it."


def planning(prompt: Prompt) -> str:
    """The first thought of a turn that makes a plan."""
    words = one_line(prompt.text, 120)
    return f"Planning first: “{words}”" if words else "Planning first."


def not_chosen(reasons: tuple[str, ...]) -> str:
    """What was named in a request and could not be taken."""
    return "I go on without what I could not use: " + "; ".join(reasons) + "."


def waiting(event: RunWaiting, working: bool) -> str:
    """Why a run does not begin yet, or does not go on when it was `working` already."""
    match event.cause:
        case "opencode":
            then = "go on" if working else "start"
            return (
                f"OpenCode is not answering at the moment{_how_away(event.why)}. I keep trying and {then} as soon as it "
                "is back."
            )
        case "capacity":
            return "All places are taken by running work. Yours is in the queue and starts by itself."
        case _:
            return f"The repository cannot be reached at the moment ({event.detail}). I keep trying."


def fresh_thread(summarised: bool) -> str:
    """The conversation goes on in a fresh agent thread."""
    start = (
        "from the agent's own summary of it"
        if summarised
        else "from our latest messages, since the agent gave no summary"
    )
    return f"Our conversation has grown long, so I go on in a fresh thread that starts {start}."


def setup_result(event: SetupRan, output: str) -> str:
    """What stands under a set-up command."""
    end = "ended at its deadline" if event.exit_code is None else f"exit code {event.exit_code}"
    return f"{end}, {event.took_s:.1f} s\n{output}".strip()


def setup_failed(event: SetupRan) -> str:
    """A set-up command failed: for people."""
    end = "did not end in time" if event.exit_code is None else f"failed with exit code {event.exit_code}"
    return f"Setting up the workspace: `{one_line(event.command, 120)}` {end}. I tell the agent and go on."


def blocked(keys: tuple[str, ...]) -> str:
    """The issue waits for others."""
    return (
        f"This issue is blocked by {', '.join(f'**{key}**' for key in keys)}, so I wait. I begin by myself when that is "
        "done; write “start anyway” to have me begin now."
    )


def summary_line(summary: str) -> str:
    """What the conversation keeps of a summary."""
    return f"Summary of the conversation so far: {summary}"


def in_queue(place: int, *, again: bool) -> str:
    """Where a run stands that waits for a place."""
    if again:
        return f"Still in the queue: number {place} now."
    return f"All places are taken by running work. Yours is number {place} in the queue and starts by itself."


def out_of_patience(cause: str, why: str, minutes: int) -> str:
    """The honest end of waiting; `why` as RunWaiting has it."""
    what = (
        "The repository could not be reached" if cause == "repository" else f"OpenCode has not answered{_how_away(why)}"
    )
    for_so_long = f"for {minutes} minute{'s' if minutes > 1 else ''}" if minutes else "in time"
    mark = "" if cause == "repository" else _MARKS.get(why, "🔌 ")
    return (
        f"{mark}{what} {for_so_long}, so I gave up on this request. "
        "Write to me again and I try anew. If it keeps happening, whoever runs me can look at `/readyz` and the logs."
    )


_MARKS = {"timeout": "⏰ ", "credentials": "🔐 ", "rate_limit": "⏱️ ", "server": "🔧 "}


def _how_away(why: str) -> str:
    how = {
        "network": "it cannot be reached",
        "timeout": "requests time out",
        "credentials": "it refuses our credentials",
        "rate_limit": "it limits our rate",
        "server": "it has an internal error",
    }.get(why)
    return f" ({how})" if how else ""


def opencode_refused(cause: str, said: str) -> str:
    """OpenCode will not do it, and trying again by ourselves is no use."""
    return trouble(cause, "OpenCode") + _what_was_said(said)


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


AFTER_REFUSAL = "The work goes on."


def too_many_sessions(limit: int) -> str:
    """Said once; further sessions of the same hour stay silent."""
    return (
        f"This issue has had more than {limit} agent sessions within an hour, which looks like a loop, so I am not "
        "starting another. Try again later, or raise `SESSION_MAX_PER_ISSUE_HOUR`."
    )


def heartbeat(silent_s: float, cause: str) -> str:
    """Said when a live turn has been silent; `cause` is what it waits for, if it waits."""
    minutes = max(1, round(silent_s / 60))
    match cause:
        case "":
            return f"Still working; nothing new to show for {minutes} min."
        case "capacity":
            return f"Still in the queue: all places are taken by running work ({minutes} min so far)."
        case "repository":
            return f"Still trying to reach the repository ({minutes} min without news)."
        case _:
            return f"Still waiting for OpenCode to answer ({minutes} min without news)."


def retrying(message: str) -> str:
    """The model's provider failed and OpenCode tries again."""
    return f"The model's provider has trouble ({one_line(message, 200)}). Trying again."


def gave_up_retrying(event: RunRetrying) -> str:
    """The retry budget is used up."""
    what, then = _BROKE[event.cause]
    return (
        f"{what}, and kept failing: after {event.attempt} attempts I stopped the run. Work done so far is kept. {then}"
    ) + _what_was_said(event.message)


def stalled(minutes: int) -> str:
    """Busy without a sign of life."""
    return (
        f"OpenCode said it was busy, but nothing moved for {minutes} minutes, so I ended the run. "
        "Work done so far is kept. Write to me to try again."
    )


def interrupted_too_often(times: int) -> str:
    """The run was cut again and again."""
    return (
        f"OpenCode was interrupted {times} times during this work, so I stopped trying. Work done so far is kept. "
        "Write to me to go on from there."
    )


def resumed(tools: bool) -> str:
    """OpenCode was cut and the run goes on."""
    if tools:
        return "OpenCode was interrupted. It goes on from where it was and has been told to check its last step."
    return "OpenCode was interrupted. It goes on from where it was."


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


# What failed, in one line, and what to do.
_BROKE: Mapping[Cause, tuple[str, str]] = {
    "timeout": ("⏰ Request timed out: the model's provider did not answer in time", "Write to me to try again."),
    "network": ("🔌 The model's provider could not be reached", "Write to me to try again in a few moments."),
    "credentials": (
        "🔐 The model's provider refused our credentials",
        "Whoever runs me must check the provider's key; then write to me again.",
    ),
    "not_found": (
        "🔍 The model was not found",
        "Whoever runs me must check `OPENCODE_MODEL` and `OPENCODE_AGENT`; then write to me again.",
    ),
    "rate_limit": ("⏱️ The model's provider limits our rate", "Write to me again in a while."),
    "server": ("🔧 The model's provider had an internal error", "Write to me to try again."),
    "context": (
        "📏 The conversation no longer fits the model, even summarised",
        "Start a new session on this issue.",
    ),
    "model": ("The model did not deliver a usable answer", "Write to me to try again."),
    "cut_off": ("The model's answer was cut off before its end", "Write “go on” to continue."),
    "other": ("❌ OpenCode could not finish this", "Write to me to try again."),
}


def broke(outcome: Broke) -> str:
    """What failed, in one line, and what to do."""
    what, then = _BROKE[outcome.cause]
    so_far = f"\n\nUntil then:\n\n{outcome.text}" if outcome.text.strip() else ""
    return f"{what}. {then}" + _what_was_said(outcome.message) + so_far


def _what_was_said(message: str) -> str:
    said = one_line(message, 300).replace("`", "'")
    return f"\n\nWhat was said: `{said}`" if said else ""


def trouble(cause: str, service: str) -> str:
    """Why a service did not do what was asked, in one line, and what to do."""
    lines = {
        "timeout": f"⏰ Request timed out: {service} did not answer in time. Write to me to try again.",
        "network": f"🔌 {service} could not be reached. Write to me to try again in a few moments.",
        "credentials": f"🔐 {service} refused our credentials. Whoever runs me must check them.",
        "not_found": f"🔍 {service} does not know what was asked for. Whoever runs me must check the settings.",
        "rate_limit": f"⏱️ {service} limits our rate. Try again in a while.",
        "server": f"🔧 {service} had an internal error. Write to me to try again.",
    }
    return lines.get(cause, f"❌ {service} could not do this. Write to me to try again.")


def fallback(service: str, agent: str = "OpenCode Agent") -> str:
    """Stands for an answer while a service is away."""
    return (
        f"{agent} cannot work on this now: {service} does not answer. Nothing is lost; try mentioning me again in a few "
        "moments."
    )


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


def one_line(text: str, most: int) -> str:
    """The text on one line, at most `most` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"

"""The end of a turn in which the agent worked: its workspace is looked at, and what changed is delivered.

    Working ──settled──→ Shipping ──nothing changed──→ the answer
                            │  ↑
            left uncommitted│  │settled again, whatever it says: the answer was given before
                            ↓  │
                          Working (asked once to commit)
                            Shipping ──shipped, failed, or out of time──→ the answer with its receipt

The agent's last words are kept from the moment it settles. Nothing that happens after can take them away: neither the
answer to our request to commit, nor trouble with git or the forge. Those are told beside them.
"""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import receipt, wording
from dragoman.core.activities import Response
from dragoman.core.draft import Draft
from dragoman.core.effects import InspectWork, LinkWork, NudgeAgent, ShipLater, ShipWork
from dragoman.core.events import RunEvent
from dragoman.core.events.desk import FileShared, ShipFailed, Shipped, WorkFound
from dragoman.core.events.opencode import Answered, Outcome, Usage
from dragoman.core.events.timers import HeartbeatDue, ShipDue
from dragoman.core.limits import NEARLY
from dragoman.core.outbox import remembered, with_file
from dragoman.core.replying import named
from dragoman.core.session import LEFT_ALONE, Closed, Live, Review, Shipping, Stopping, Working
from dragoman.core.turns import on_heartbeat, refuse, settle
from dragoman.ids import message_id, part_id


def look_at_work(draft: Draft, answer: Answered) -> None:
    """The agent has spoken its last words: see what it left before people read them."""
    enter_shipping(draft, answer)
    draft.do(InspectWork(run=draft.turn.run))


def deliver(draft: Draft, answer: Answered, dropped: int = 0) -> None:
    """Have everything that is there delivered, the agent having been asked before."""
    enter_shipping(draft, answer)
    draft.enter(Shipping(turn=draft.turn, answer=answer, since=draft.now, found=True, dropped=dropped))
    draft.do(ShipWork(run=draft.turn.run, words=answer.text, seconds=draft.rules.ship_s))


def enter_shipping(draft: Draft, answer: Answered) -> None:
    """Leave the run; what was kept back for a question that is dead now is shown."""
    draft.stop_asking()
    draft.enter(Shipping(turn=replace(draft.turn, waiting=""), answer=answer, since=draft.now))
    draft.remind(ShipDue(run=draft.turn.run), draft.rules.ship_s)


def on_shipping(draft: Draft, phase: Shipping, event: RunEvent) -> None:
    """News while work is delivered; those of the run are over."""
    answer = phase.answer
    match event:
        case FileShared(file=file):
            draft.turn_with(files=with_file(phase.turn.files, file))
        case WorkFound() if phase.found:
            pass
        case WorkFound(changed=False):
            draft.change(undelivered=False)
            finish(draft, phase, receipt.unseen(answer.text, phase.turn, draft.session.pull_request))
        case WorkFound(left=left) if left and phase.turn.kept is None:
            nudge(draft, phase, left)
        case WorkFound():
            draft.enter(replace(phase, found=True))
            draft.do(ShipWork(run=event.run, words=answer.text, seconds=draft.rules.ship_s))
        case Shipped(receipt=shipped):
            if shipped.pull_request:
                link_work(draft, shipped.pull_request)
            draft.change(undelivered=bool(shipped.trouble))
            if shipped.later:
                draft.do(ShipLater(run=event.run, words=answer.text, after_s=shipped.later_s))
            draft.turn_with(
                commits=shipped.commits if shipped.pushed else (), unpushed=bool(shipped.commits) and not shipped.pushed
            )
            used_s = draft.now - phase.turn.begun_at if phase.turn.begun_at else 0.0
            finish(draft, phase, receipt.told(shipped, phase.turn, answer, used_s))
        case ShipFailed(reason=reason):
            draft.change(undelivered=True)
            finish(draft, phase, reason)
        case ShipDue():
            if draft.now - phase.since >= draft.rules.ship_s * NEARLY:
                draft.change(undelivered=True)
                draft.do(ShipLater(run=event.run, words=answer.text))
                finish(draft, phase, wording.shipping.SHIPPING_OVERDUE)
        case HeartbeatDue():
            on_heartbeat(draft)
        case _:
            pass


def nudge(draft: Draft, phase: Shipping, left: tuple[str, ...]) -> None:
    """Ask the agent to commit; once a turn, since its answer is kept from here on."""
    turn = phase.turn
    message = message_id(turn.run, len(turn.messages), draft.now)
    asked = replace(turn, kept=phase.answer, messages=(*turn.messages, message))
    draft.enter(Working(turn=asked))
    draft.tell(wording.shipping.NUDGED)
    draft.do(NudgeAgent(run=turn.run, left=left, message=message, part=part_id(message)))


def finish(draft: Draft, phase: Shipping, told: str) -> None:
    """People read the agent's words, under them its files, and what became of the work."""
    words = receipt.unfolded(named(phase.turn, phase.answer.text.strip())) or wording.ending.NO_WORDS
    files = phase.turn.files
    draft.change(outbox=remembered(draft.session.outbox, files))
    parts = (wording.outbox.shown(files), wording.ending.not_started(phase.dropped).strip(), told)
    under = "\n\n".join(part for part in parts if part)
    settle(draft, Response(body=receipt.joined(words, under)), "answered", phase.answer)


def link_work(draft: Draft, url: str) -> None:
    """Show a pull request on the session and the issue, once, and look after it from now on."""
    if not url:
        return
    known = url == draft.session.pull_request
    if not known or draft.session.review is None:
        draft.change(pull_request=url, review=Review())
    if not known:
        draft.do(LinkWork(url=url, issue=draft.session.issue, review=draft.rules.in_review))


def tell_undelivered(draft: Draft, reason: str) -> None:
    """People were promised that it comes later; they hear that it does not, unless they have ended the work."""
    phase = draft.session.phase
    if isinstance(phase, Closed) and phase.reason not in LEFT_ALONE:
        return
    if not isinstance(phase, Live):
        refuse(draft, reason)
    elif not isinstance(phase, Stopping):
        draft.tell(reason)


def with_usage_of(kept: Answered, outcome: Outcome) -> Answered:
    """The kept answer, with what the agent used after it."""
    if not isinstance(outcome, Answered):
        return kept
    before, more = kept.usage, outcome.usage
    used = Usage(
        input_tokens=before.input_tokens + more.input_tokens,
        output_tokens=before.output_tokens + more.output_tokens,
        cost=before.cost + more.cost,
    )
    return replace(kept, usage=used)

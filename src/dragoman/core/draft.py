"""What follows from one event, while it is being decided.

A draft is the only thing in core that changes; it is made by `step`, read by `step` and never leaves it.
It knows the two rules that hold for every activity: ids are derived from (session, turn, stage), and while a question
is before people nothing else is posted, because a newer activity would dismiss it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dragoman.core.activities import Activity, Elicitation, Final, Response, Thought, is_fleeting
from dragoman.core.asks import WHERE, choices, elicitation
from dragoman.core.effects import Effect, Post, Remind
from dragoman.core.events import RunEvent
from dragoman.core.events.opencode import Answered, PermissionAsked, Usage
from dragoman.core.events.timers import AskDue
from dragoman.core.limits import Rules
from dragoman.core.session import Choosing, Live, Message, Phase, Session, Starting, Step, Turn, Working
from dragoman.ids import ActivityId, activity_id

BEGIN = "begin"  # the stage of the first thought of a turn


class Draft:
    """The session as it will be, and the effects and messages so far."""

    def __init__(self, session: Session, now: float, rules: Rules) -> None:
        self.session = session
        self.now = now
        self.rules = rules
        self.effects: list[Effect] = []
        self.messages: list[Message] = []
        self.answered: list[int] = []  # turns that needed no agent

    def step(self) -> Step:
        """The finished decision."""
        return Step(
            session=self.session,
            effects=tuple(self.effects),
            messages=tuple(self.messages),
            answered=tuple(self.answered),
        )

    # ── the session ──────────────────────────────────────────────────────
    def change(self, **fields: Any) -> None:
        """Replace fields of the session."""
        self.session = replace(self.session, **fields)

    def enter(self, phase: Phase) -> None:
        """Move to a phase."""
        self.change(phase=phase)

    @property
    def live(self) -> Live:
        """The phase of a session that has a turn under way; only asked where there is one."""
        phase = self.session.phase
        if not isinstance(phase, Live):
            raise LookupError(f"session {self.session.id} has no turn under way")
        return phase

    @property
    def turn(self) -> Turn:
        """The turn under way."""
        return self.live.turn

    def turn_with(self, **fields: Any) -> None:
        """Replace fields of the turn under way."""
        phase = self.live
        self.enter(replace(phase, turn=replace(phase.turn, **fields)))

    @property
    def directory(self) -> str:
        """The workspace's directory; empty before there is one."""
        return self.session.workspace.directory if self.session.workspace else ""

    @property
    def asking(self) -> bool:
        """Whether a question is before people."""
        phase = self.session.phase
        return isinstance(phase, Choosing) or (isinstance(phase, Working) and any(ask.shown for ask in phase.asks))

    # ── effects ──────────────────────────────────────────────────────────
    def do(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def remind(self, event: RunEvent, after_s: float) -> None:
        """Have the machine told `event` later."""
        self.do(Remind(event=event, after_s=after_s))

    def remember(self, message: Message) -> None:
        """Add a line to the history of the conversation: of the turn under way, or else of the newest."""
        phase = self.session.phase
        turn = phase.turn.number if isinstance(phase, Live) else self.session.turns
        self.messages.append(replace(message, turn=turn))
        self.change(messages=self.session.messages + 1)

    def post(self, stage: str, activity: Activity, *, routine: bool = True) -> None:
        """Show an activity of the turn under way, or keep it back while a question is before people.

        Without streaming the first thought and the final stay; what we say in between is gone with the next activity,
        and the agent's steps are not shown.
        """
        if not self.rules.streaming and stage != BEGIN:
            if routine or not isinstance(activity, Thought):
                return
            activity = replace(activity, fleeting=True)
        id_ = activity_id(self.session.id, self.turn.number, stage)
        post = Post(id=id_, activity=activity, routine=routine)
        if not self.asking:
            self._show(post)
        elif not is_fleeting(activity):
            self.turn_with(held=(*self.turn.held, post))

    def tell(self, words: str) -> None:
        """Post a thought of our own. Its place in the turn makes its id: the same words may be said again later."""
        self.post(self._next_stage(), Thought(body=words), routine=False)

    def refuse(self, words: str) -> None:
        """Answer somebody whose request was refused while a turn is under way; the turn is not theirs and goes on."""
        id_ = activity_id(self.session.id, self.turn.number, f"refused:{self._next_stage()}")
        self._show(Post(id=id_, activity=Response(body=words)))

    def close(self, number: int, final: Final, answer: Answered | None = None) -> None:
        """Show the one final activity of a turn, and keep it in the history with what the agent used for it."""
        id_ = self.show_final(number, final)
        used = answer.usage if answer else Usage()
        self.remember(
            Message(
                role="assistant",
                text=final.body,
                linear_id=id_,
                opencode_id=answer.message if answer else None,
                tokens=used.input_tokens + used.output_tokens,
                cost=used.cost,
            )
        )

    def show_final(self, number: int, final: Final) -> ActivityId:
        """Show the one final activity of a turn; its id."""
        id_ = activity_id(self.session.id, number)
        self._show(Post(id=id_, activity=final))
        return id_

    def show_ask(self) -> None:
        """Put the oldest ask before people; with none left, show what was kept back."""
        phase = self.live
        if not isinstance(phase, Working):
            return
        if not phase.asks:
            self.release()
            return
        first, *rest = phase.asks
        shown = replace(first, shown=first.shown + 1, shown_at=self.now)
        post = Post(
            id=activity_id(self.session.id, phase.turn.number, self._next_stage()),
            activity=elicitation(first),
            run=phase.turn.run,
        )
        self.enter(replace(phase, turn=self.turn, asks=(shown, *rest)))
        self._show(post)
        wait_s = self.rules.permission_s if isinstance(first.ask, PermissionAsked) else self.rules.reminder_s
        self.remind(AskDue(run=phase.turn.run, ask=first.ask.ask), wait_s)

    def show_choice(self) -> None:
        """Put before people in which repository it is to be worked."""
        phase = self.session.phase
        if not isinstance(phase, Choosing):
            return
        self._put(choices(phase))
        self.enter(replace(phase, turn=self.turn, shown_at=self.now))
        self.remind(AskDue(run=phase.turn.run, ask=WHERE), self.rules.reminder_s)

    def show_ask_again(self) -> None:
        """Put the ask that is before people there once more, because a newer activity dismissed it; its time goes on."""
        phase = self.session.phase
        if isinstance(phase, Choosing):
            self._put(choices(phase))
        elif self.asking and isinstance(phase, Working):
            self._put(elicitation(phase.asks[0]))

    def _put(self, question: Elicitation) -> None:
        id_ = activity_id(self.session.id, self.turn.number, self._next_stage())
        self._show(Post(id=id_, activity=question, run=self.turn.run))

    def stop_asking(self) -> None:
        """Nothing is asked of people any more: show what was kept back."""
        phase = self.session.phase
        match phase:
            case Working():
                self.enter(replace(phase, asks=()))
            case Choosing():
                self.enter(Starting(turn=phase.turn))
            case _:
                return
        self.release()

    def release(self) -> None:
        """Show what was kept back while a question was open."""
        held = self.turn.held
        self.turn_with(held=())
        for post in held:
            self._show(post)

    def _next_stage(self) -> str:
        told = self.turn.told + 1
        self.turn_with(told=told)
        return f"told:{told}"

    def _show(self, post: Post) -> None:
        self.do(post)
        self.change(posted_at=self.now)

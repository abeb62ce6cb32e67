"""Who may do what: a person, the issue's team and a deed go in, leave or a reason comes out.

Nothing is allowed because it is unknown: where a list names people, whoever is not identified is refused, and where a
list names teams, an issue whose team is not known is refused.
"""

from __future__ import annotations

from typing import assert_never, get_args

from dragoman.core.events import Event
from dragoman.core.events.issues import CommentWritten, IssueEdited
from dragoman.core.events.linear import Deed, Issue, Person, Prompted, RefusalReason, SessionOpened, StopRequested
from dragoman.core.events.opencode import PermissionAsked
from dragoman.core.session import Choosing, Closed, Resting, Session, Working
from dragoman.core.taking_up import approves_plan
from dragoman.core.turns import wants_to_wait
from dragoman.record import Record

DEEDS: tuple[Deed, ...] = get_args(Deed)


class Team(Record):
    """The team of an issue; either may be empty when it is not known."""

    id: str = ""
    key: str = ""


class Who(Record):
    """Some people, on issues of some teams. An empty part means all of them; what stands there has to hold.

    users  ids or e-mail addresses
    teams  ids or keys, of the issue's team
    """

    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


class Policy(Record):
    """What an operator allows. The default allows everything to everybody.

    require_person  refuse what comes from no identified person, such as an automation
    users, teams    when not empty: only these people, only on issues of these teams; for every deed
    start, answer, approve, stop  when not None: only to those whom one of these names; () = to nobody
    """

    require_person: bool = False
    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    start: tuple[Who, ...] | None = None
    answer: tuple[Who, ...] | None = None
    approve: tuple[Who, ...] | None = None
    stop: tuple[Who, ...] | None = None

    def rule_of(self, deed: Deed) -> tuple[Who, ...] | None:
        """Who may do this; None = everybody."""
        match deed:
            case "start":
                return self.start
            case "answer":
                return self.answer
            case "approve":
                return self.approve
            case "stop":
                return self.stop
            case _:
                assert_never(deed)


def decide(person: Person | None, team: Team, deed: Deed, policy: Policy) -> RefusalReason | None:
    """Why `person` may not do `deed` on an issue of `team`; None when they may.

    person  None when nobody is identified; one without an e-mail address is compared by id alone
    team    the issue's; an empty one is not known
    """
    if person is None and policy.require_person:
        return "nobody"
    if policy.users and not _is_one(person, policy.users):
        return "nobody" if person is None else "user"
    if policy.teams and not _is_of(team, policy.teams):
        return "team"
    rule = policy.rule_of(deed)
    if rule is None or any(_fits(person, team, who) for who in rule):
        return None
    return "nobody" if person is None else "rule"


def wants_address(person: Person, policy: Policy) -> bool:
    """Whether a decision about this person may hang on an e-mail address that is not known."""
    if person.email is not None:
        return False
    rules = (policy.rule_of(deed) for deed in DEEDS)
    names = (*policy.users, *(name for rule in rules for who in rule or () for name in who.users))
    return any("@" in name for name in names)


def deed_of(session: Session, event: Event) -> Deed | None:
    """What a person does by this event, as the session stands; None when no person does anything that needs leave.

    Linear itself decides who may unassign the agent or close the issue, so those are not asked about.
    """
    match event:
        case SessionOpened():
            return "start"
        case Prompted(prompt=prompt):
            phase = session.phase
            if isinstance(phase, Working) and phase.asks and not wants_to_wait(prompt):
                return "approve" if isinstance(phase.asks[0].ask, PermissionAsked) else "answer"
            if isinstance(phase, Choosing) and not wants_to_wait(prompt):
                return "answer"
            if isinstance(phase, Resting | Closed) and approves_plan(session, prompt):
                return "approve"
            return "start"
        case StopRequested():
            return "stop"
        case IssueEdited() | CommentWritten():
            return "start"
        case _:
            return None


def person_of(event: Event) -> Person | None:
    """Who did it, if somebody is identified."""
    match event:
        case SessionOpened(prompt=prompt) | Prompted(prompt=prompt):
            return prompt.author
        case StopRequested(by=by) | IssueEdited(by=by) | CommentWritten(by=by):
            return by
        case _:
            return None


def team_of(session: Session, event: Event) -> Team:
    """The team of the issue that it is about: as the delivery has it, else as it was known before."""
    told: Issue | None = event.issue if isinstance(event, SessionOpened | Prompted) else None
    for issue in (told, session.issue):
        if issue is not None and (issue.team_id or issue.team_key):
            return Team(id=issue.team_id, key=issue.team_key)
    return Team()


def _fits(person: Person | None, team: Team, who: Who) -> bool:
    return (not who.users or _is_one(person, who.users)) and (not who.teams or _is_of(team, who.teams))


def _is_one(person: Person | None, names: tuple[str, ...]) -> bool:
    known = {each.casefold() for each in (person.id, person.email) if each} if person else set()
    return any(name.casefold() in known for name in names)


def _is_of(team: Team, names: tuple[str, ...]) -> bool:
    known = {each.casefold() for each in (team.id, team.key) if each}
    return any(name.casefold() in known for name in names)

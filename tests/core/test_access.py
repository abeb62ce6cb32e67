"""Who may do what, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dragoman.core.access import DEEDS, Policy, Team, Who, decide, deed_of, person_of, team_of, wants_address
from dragoman.core.events import Event
from dragoman.core.events.linear import Deed, Person, Prompted, RefusalReason, SessionOpened, StopRequested, Withdrawn
from dragoman.core.events.opencode import PermissionAsked, QuestionAsked
from dragoman.ids import AgentThread, AskId, UserId
from tests.builders import a_person, a_prompt, a_run, a_session, an_issue, records
from tests.core.histories import WHICH_COLOUR, Story

ANN, BEN, CY = a_person("Ann"), a_person("Ben"), a_person("Cy")
BARE_ANN = replace(ANN, email=None)  # a delivery that held her id alone
ENG, OPS, UNKNOWN = Team(id="team-eng", key="ENG"), Team(id="team-ops", key="OPS"), Team()

LISTED = Policy(users=("ann@example.com", "user-Ben"))
KNOWN = Policy(require_person=True)
ENG_ONLY = Policy(teams=("eng",))
APPROVERS = Policy(
    answer=(Who(users=("user-Ann",)), Who(teams=("OPS",))),
    approve=(Who(users=("ann@example.com",), teams=("team-ops",)),),
    stop=(),
)

# person, team, and what is said to each deed: start, answer, approve, stop
MATRIX: list[tuple[str, Policy, Person | None, Team, tuple[RefusalReason | None, ...]]] = [
    ("nothing set: a person", Policy(), ANN, ENG, (None, None, None, None)),
    ("nothing set: an automation", Policy(), None, UNKNOWN, (None, None, None, None)),
    ("known people only: a person", KNOWN, CY, UNKNOWN, (None, None, None, None)),
    ("known people only: an automation", KNOWN, None, ENG, ("nobody",) * 4),
    ("listed by address", LISTED, ANN, ENG, (None, None, None, None)),
    ("listed by id", LISTED, BEN, ENG, (None, None, None, None)),
    ("not listed", LISTED, CY, ENG, ("user",) * 4),
    ("listed by an address that is not known", LISTED, BARE_ANN, ENG, ("user",) * 4),
    ("a list, and an automation", LISTED, None, ENG, ("nobody",) * 4),
    ("team by key, in another case", ENG_ONLY, CY, ENG, (None, None, None, None)),
    ("another team", ENG_ONLY, CY, OPS, ("team",) * 4),
    ("a team that is not known", ENG_ONLY, CY, UNKNOWN, ("team",) * 4),
    ("both lists: the person is wrong", replace(LISTED, teams=("ENG",)), CY, ENG, ("user",) * 4),
    ("both lists: the team is wrong", replace(LISTED, teams=("ENG",)), ANN, OPS, ("team",) * 4),
    ("deeds: Ann on her team", APPROVERS, ANN, ENG, (None, None, "rule", "rule")),
    ("deeds: Ann where she may approve", APPROVERS, ANN, OPS, (None, None, None, "rule")),
    ("deeds: somebody else", APPROVERS, CY, ENG, (None, "rule", "rule", "rule")),
    ("deeds: somebody else where all may answer", APPROVERS, CY, OPS, (None, None, "rule", "rule")),
    ("deeds: an automation", APPROVERS, None, ENG, (None, "nobody", "nobody", "nobody")),
    ("deeds: an automation where all may answer", APPROVERS, None, OPS, (None, None, "nobody", "nobody")),
    ("deeds: an address that is not known", APPROVERS, BARE_ANN, OPS, (None, None, "rule", "rule")),
]  # fmt: skip


@pytest.mark.parametrize("what, policy, person, team, said", MATRIX, ids=[row[0] for row in MATRIX])
def test_who_may_do_what(
    what: str, policy: Policy, person: Person | None, team: Team, said: tuple[RefusalReason | None, ...]
) -> None:
    assert tuple(decide(person, team, deed, policy) for deed in DEEDS) == said, what


@given(policy=records(Policy), person=st.none() | records(Person), team=records(Team), deed=st.sampled_from(DEEDS))
def test_a_further_list_never_allows_more(policy: Policy, person: Person | None, team: Team, deed: Deed) -> None:
    before = decide(person, team, deed, policy)
    for stricter in (
        replace(policy, require_person=True),
        replace(policy, users=policy.users or ("somebody else",)),
        replace(policy, teams=policy.teams or ("another team",)),
        replace(policy, **{deed: ()}),
    ):
        after = decide(person, team, deed, stricter)
        assert after is not None or before is None


def test_nobody_and_an_unknown_team_are_on_no_list() -> None:
    nameless = Person(id=UserId(""), name="")
    assert decide(nameless, UNKNOWN, "start", Policy(users=("",))) == "user"
    assert decide(ANN, UNKNOWN, "start", Policy(teams=("",))) == "team"


@pytest.mark.parametrize(
    "person, policy, wanted",
    [
        (BARE_ANN, LISTED, True),
        (BARE_ANN, APPROVERS, True),
        (BARE_ANN, Policy(users=("user-Ann",)), False),
        (ANN, LISTED, False),
    ],
)
def test_an_address_is_looked_up_only_where_it_can_matter(person: Person, policy: Policy, wanted: bool) -> None:
    assert wants_address(person, policy) == wanted


# ── what an event is ─────────────────────────────────────────────────────
def working(*asks: PermissionAsked | QuestionAsked) -> Story:
    story = Story().works()
    for ask in asks:
        story.hear(ask)
    return story


PERMISSION = PermissionAsked(
    run=a_run(), ask=AskId("per_1"), thread=AgentThread("ses_1"), permission="bash", subject="git push"
)
QUESTION = QuestionAsked(run=a_run(), ask=AskId("que_1"), thread=AgentThread("ses_1"), questions=(WHICH_COLOUR,))
WRITES = Prompted(prompt=a_prompt("yes"))


@pytest.mark.parametrize(
    "story, event, deed",
    [
        (Story(), SessionOpened(issue=an_issue(), prompt=a_prompt()), "start"),
        (Story(), WRITES, "start"),
        (working(), WRITES, "start"),
        (working(PERMISSION), WRITES, "approve"),
        (working(QUESTION), WRITES, "answer"),
        (working(QUESTION), Prompted(prompt=a_prompt("/queue write the docs")), "start"),
        (working(), StopRequested(sent_at=1.0), "stop"),
        (working(), Withdrawn(reason="unassigned"), None),
    ],
)
def test_what_somebody_does_depends_on_where_the_session_stands(story: Story, event: Event, deed: Deed | None) -> None:
    assert deed_of(story.session, event) == deed


def test_a_person_and_a_team_are_read_from_the_event() -> None:
    assert person_of(WRITES) == ANN
    assert person_of(StopRequested(sent_at=1.0, by=BEN)) == BEN
    assert team_of(a_session(), WRITES) == Team(key="ENG")
    moved = Prompted(prompt=a_prompt(), issue=an_issue("OPS-1"))
    assert team_of(a_session(), moved) == Team(key="OPS"), "what the delivery says is newer"
    assert team_of(replace(a_session(), issue=None), WRITES) == Team()

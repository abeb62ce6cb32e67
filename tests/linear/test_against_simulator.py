"""The client and the reading of webhooks against the pretend Linear, which was written without knowing either."""

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
from graphql import build_schema, parse, validate

from dragoman.core.activities import Action, Choice, Elicitation, Response, Thought
from dragoman.core.events.linear import Prompted, SessionOpened, StopRequested, Suggestion, Withdrawn
from dragoman.core.events.opencode import Todo
from dragoman.errors import LinearError
from dragoman.ids import IssueId, SessionId, activity_id
from dragoman.linear.client import Linear, open_linear
from dragoman.linear.graphql import RateLimited, Unauthorized
from dragoman.linear.inbound import AboutIssue, AboutOrganization, Ignored, Reading, Relevant, read
from dragoman.linear.outbound import Link
from dragoman.linear.webhook import open_delivery
from dragoman.sim.faults import Fault
from dragoman.sim.server import Simulator


@pytest.fixture
async def linear(sim: Simulator) -> AsyncIterator[Linear]:
    async with open_linear(sim.url, access_token=sim.access_token, deadline_s=60.0) as client:
        yield client


def readings(sim: Simulator) -> list[Reading]:
    """What the deliveries so far mean to us; they were kept back, since nobody listens."""
    opened = (
        open_delivery(each.headers, each.raw, secrets=[sim.secret], now=sim.world.now())
        for each in sim.hooks.deliveries
    )
    return [read(delivery) for delivery in opened]


def last(sim: Simulator) -> Reading:
    return readings(sim)[-1]


def opened(sim: Simulator) -> SessionOpened:
    reading = last(sim)
    assert isinstance(reading, Relevant)
    assert isinstance(reading.event, SessionOpened)
    return reading.event


def test_every_document_is_valid_in_the_simulators_schema() -> None:
    schema = build_schema(files("dragoman.sim").joinpath("schema.graphql").read_text(encoding="utf-8"))
    problems = {}
    for entry in files("dragoman.linear").joinpath("documents").iterdir():
        if found := validate(schema, parse(entry.read_text(encoding="utf-8"))):
            problems[entry.name] = [error.message for error in found]
    assert problems == {}


async def test_what_people_do_is_read_from_its_webhooks(sim: Simulator) -> None:
    issue = sim.people.create_issue("Fix the focus ring", "It disappears")
    mention = sim.people.mention(issue.id, "please fix this")
    event = opened(sim)
    assert event.prompt.text == f"@{sim.world.agent.handle} please fix this"
    assert event.prompt.kind == "mention"
    assert event.issue is not None
    assert event.issue.key == issue.identifier
    assert event.prompt.author is not None
    assert event.prompt.author.name == sim.world.alice.name

    sim.people.follow_up(mention.id, "and add a test")
    reading = last(sim)
    assert isinstance(reading, Relevant)
    assert isinstance(reading.event, Prompted)
    assert (reading.session, reading.event.prompt.text) == (mention.id, "and add a test")

    sim.people.stop(mention.id)
    reading = last(sim)
    assert isinstance(reading, Relevant)
    assert isinstance(reading.event, StopRequested)

    sim.people.delegate(issue.id)
    event = opened(sim)
    assert (event.prompt.kind, event.prompt.text) == ("delegation", "")
    sim.people.automate(sim.people.create_issue("Nightly").id)
    assert opened(sim).prompt.author is None


async def test_a_mention_in_an_older_thread_is_found_in_the_context(sim: Simulator) -> None:
    issue = sim.people.create_issue("Slow")
    root = sim.people.comment(issue.id, "The list is slow.")
    sim.people.mention(issue.id, "why is it?", parent=root.id)
    assert opened(sim).prompt.text == f"@{sim.world.agent.handle} why is it?"


async def test_unassigning_closing_and_uninstalling_withdraw(sim: Simulator) -> None:
    sim.world.resources.add("Issue")
    issue = sim.people.create_issue("T")
    sim.people.delegate(issue.id)
    sim.people.unassign(issue.id)
    sim.people.set_state(issue.id, "Done")
    sim.people.uninstall()
    withdrawn = [
        each.event.reason
        for each in readings(sim)
        if isinstance(each, AboutIssue | AboutOrganization) and isinstance(each.event, Withdrawn)
    ]
    assert withdrawn == ["unassigned", "issue_completed", "app_revoked"]
    odd = [each for each in readings(sim) if isinstance(each, Ignored) and each.reason == "odd_shape"]
    assert odd == []


async def test_a_turn_is_shown_as_it_was_meant(sim: Simulator, linear: Linear) -> None:
    issue = sim.people.create_issue("T")
    session = SessionId(sim.people.delegate(issue.id).id)
    await linear.post(session, activity_id(session, 1, "ack"), Thought(body="On it."))
    await linear.show_plan(session, [Todo(content="read", status="in_progress")])
    await linear.add_links(session, [Link(label="Log", url="https://d.example/1")])
    await linear.post(session, activity_id(session, 1, "t0"), Action(verb="Running", subject="ls", fleeting=True))
    await linear.post(session, activity_id(session, 1, "t1"), Action(verb="Ran", subject="ls", result="a b"))
    ask = Elicitation(body="Allow?", choices=(Choice(value="once", label="Allow once"),))
    await linear.post(session, activity_id(session, 1, "ask"), ask)
    assert sim.world.sessions[session].stage == "awaitingInput"
    await linear.post(session, activity_id(session, 1), Response(body="Done."))
    shown = sim.world.sessions[session]
    assert shown.stage == "complete"
    assert shown.plan == [{"content": "read", "status": "inProgress"}]
    assert [(link.label, link.url) for link in shown.links] == [("Log", "https://d.example/1")]


async def test_an_issue_begins_with_us_as_delegate(sim: Simulator, linear: Linear) -> None:
    issue = sim.people.create_issue("T")
    read_before = await linear.begin_issue(IssueId(issue.id), start=True, delegate=True)
    assert read_before is not None
    assert read_before.branch_name == issue.branch_name
    changed = sim.world.issue(issue.id)
    assert changed.state == sim.world.state("In Progress").id
    assert changed.delegate == sim.world.agent.id
    viewer = await linear.viewer()
    assert viewer.id == sim.world.agent.id
    assert (viewer.organization, viewer.url_key) == (sim.world.organization_id, sim.world.url_key)


@pytest.mark.parametrize(
    "kind, error",
    [
        ("server_error", LinearError),
        ("rate_limited", RateLimited),
        ("too_many", RateLimited),
        ("unauthorized", Unauthorized),
    ],
)
async def test_a_passing_trouble_is_retryable_and_nothing_is_doubled(
    sim: Simulator, linear: Linear, kind: str, error: type[LinearError]
) -> None:
    session = SessionId(sim.people.delegate(sim.people.create_issue("T").id).id)
    sim.faults.order(Fault(kind=kind))
    with pytest.raises(error) as refused:
        await linear.post(session, activity_id(session, 1), Response(body="Done."))
    assert refused.value.retryable
    assert await linear.post(session, activity_id(session, 1), Response(body="Done.")) == "written"


@pytest.mark.parametrize("kind", ["gone", "forbidden"])
async def test_a_lasting_trouble_is_not_retryable(sim: Simulator, linear: Linear, kind: str) -> None:
    session = SessionId(sim.people.delegate(sim.people.create_issue("T").id).id)
    sim.faults.order(Fault(kind=kind))
    with pytest.raises(LinearError) as refused:
        await linear.post(session, activity_id(session, 1), Response(body="Done."))
    assert not refused.value.retryable


async def test_a_lost_reply_doubles_nothing(sim: Simulator, linear: Linear) -> None:
    session = SessionId(sim.people.delegate(sim.people.create_issue("T").id).id)
    sim.faults.order(Fault(kind="lose_reply"))
    with pytest.raises(LinearError) as lost:
        await linear.post(session, activity_id(session, 1), Response(body="Done."))
    assert lost.value.retryable
    assert await linear.post(session, activity_id(session, 1), Response(body="Done.")) == "already_there"


async def test_the_app_gets_a_token_and_another_when_the_first_is_revoked(sim: Simulator) -> None:
    session = SessionId(sim.people.delegate(sim.people.create_issue("T").id).id)
    async with open_linear(sim.url, client_id=sim.client_id, client_secret=sim.client_secret) as linear:
        await asyncio.gather(
            *(linear.post(session, activity_id(session, 1, f"t{n}"), Thought(body=f"{n}")) for n in range(5))
        )
        assert sim.tokens.granted == 1
        sim.tokens.revoke_all()
        assert await linear.post(session, activity_id(session, 1), Response(body="Done.")) == "written"
        assert sim.tokens.granted == 2


async def test_a_label_is_made_once_and_given_to_the_issue(sim: Simulator, linear: Linear) -> None:
    issue = sim.people.create_issue("Wrong place", labels=["bug"])
    for _ in range(2):
        await linear.label_issue(IssueId(issue.id), "repo:acme/shop")
    assert [label.name for label in sim.world.issue(issue.id).labels] == ["bug", "repo:acme/shop"]
    assert sim.graphql.requests["issueLabelCreate"] == 1


async def test_repositories_are_suggested_from_the_candidates_alone(sim: Simulator, linear: Linear) -> None:
    sim.world.suggestions = {"acme/shop": 0.9, "acme/other": 1.0}
    session = sim.people.mention(sim.people.create_issue("Where?").id, "please fix it")
    candidates = [("github.com", "acme/shop"), ("localhost", "acme/till")]
    found = await linear.suggestions(IssueId(session.issue or ""), SessionId(session.id), candidates)
    assert found == (Suggestion(name="acme/shop", confidence=0.9),)

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from dragoman.clock import Clock
from dragoman.core.activities import Action, Elicitation, Failure, Response, Thought
from dragoman.core.events.linear import Issue
from dragoman.core.events.opencode import Todo
from dragoman.errors import LinearError
from dragoman.ids import ActivityId, IssueId, OrganizationId, SessionId, UserId, activity_id
from dragoman.linear.client import Linear, open_linear, priority_of
from dragoman.linear.governor import Dropped, Governor, Priority
from dragoman.linear.graphql import RateLimited, Unauthorized
from dragoman.linear.identity import Viewer
from dragoman.linear.oauth import SCOPE, TokenRefused, authorization_of, read_token
from dragoman.linear.outbound import Link
from dragoman.linear.quota import Quota
from tests.linear.fake_linear import WRITTEN, Asked, FakeLinear, Reply, data
from tests.linear.held_clock import HeldClock
from tests.linear.recorded import recording
from tests.skipped_time import skip

S = SessionId("11111111-aaaa-4aaa-8aaa-000000000001")
ID = activity_id(S, 1)
TOKEN = Reply(body=recording("oauth-client-credentials-ok"))
REJECTED = Reply(401, recording("graphql-authentication-error-401"))
LIMITED = recording("graphql-ratelimited-400")
SECRET = "very-secret-client-secret"
CANARY = "canary-token-0123456789"


def open_app(fake_url: str, clock: Clock | None = None) -> Linear:
    return open_linear(fake_url, client_id="app", client_secret=SECRET, clock=clock)


@pytest.fixture
async def linear(fake: FakeLinear) -> AsyncIterator[Linear]:
    async with open_linear(fake.url, access_token="lin_oauth_x", deadline_s=60.0) as client:
        yield client


async def post(linear: Linear, body: str = "Done.") -> str:
    return await linear.post(S, ID, Response(body=body))


# ── what is sent ─────────────────────────────────────────────────────────
async def test_an_activity_is_one_request_with_our_id(fake: FakeLinear, linear: Linear) -> None:
    assert await post(linear) == "written"
    [asked] = fake.asked
    assert asked.path == "/graphql"
    assert asked.headers["authorization"] == "Bearer lin_oauth_x"
    assert asked.headers["content-type"] == "application/json"
    assert asked.variables == {
        "input": {"agentSessionId": S, "id": ID, "content": {"type": "response", "body": "Done."}}
    }


def test_a_personal_key_goes_without_bearer() -> None:
    assert authorization_of("lin_api_abc") == "lin_api_abc"
    assert authorization_of("lin_oauth_abc") == "Bearer lin_oauth_abc"


async def test_plan_and_links_update_the_session(fake: FakeLinear, linear: Linear) -> None:
    fake.always = lambda _: data(agentSessionUpdate={"success": True})
    await linear.show_plan(S, [Todo(content="a", status="in_progress")])
    await linear.add_links(S, [Link(label="Log", url="https://d.example/1")])
    assert [asked.variables for asked in fake.asked] == [
        {"id": S, "input": {"plan": [{"content": "a", "status": "inProgress"}]}},
        {"id": S, "input": {"addedExternalUrls": [{"label": "Log", "url": "https://d.example/1"}]}},
    ]


def replied_issue(**fields: object) -> dict[str, object]:
    issue: dict[str, object] = {"id": "i-1", "identifier": "ENG-1", "title": "T", "url": "u", "description": None}
    issue |= {
        "branchName": "alice/eng-1",
        "state": {"id": "s", "type": "unstarted"},
        "team": {"id": "t-1", "key": "ENG"},
    }
    return issue | {"delegate": None} | fields


def issue_desk(issue: dict[str, object]) -> FakeLinear:
    states = [("rev", "started", 4.0), ("prog", "started", 3.0), ("done", "completed", 1.0)]
    nodes = [{"id": name, "type": kind, "position": position} for name, kind, position in states]
    person = {
        "id": "u-app",
        "name": "OpenCode",
        "displayName": "opencode",
        "url": "https://l.example/profiles/opencode",
    }
    replies = {
        "Issue": data(issue=issue),
        "TeamStartedStates": data(team={"states": {"nodes": nodes}}),
        "Viewer": data(viewer=person | {"organization": {"id": "o-1", "urlKey": "acme"}}),
        "IssueUpdate": data(issueUpdate={"success": True}),
        "ActivityCreate": WRITTEN,
    }
    return FakeLinear(always=lambda asked: replies[asked.document])


def updates(fake: FakeLinear) -> list[object]:
    return [asked.variables["input"] for asked in fake.asked if asked.document == "IssueUpdate"]


async def test_an_issue_is_read_into_our_words() -> None:
    async with (
        issue_desk(replied_issue(delegate={"id": "u-2"})) as fake,
        open_linear(fake.url, access_token="x") as linear,
    ):
        assert await linear.issue(IssueId("i-1")) == Issue(
            id=IssueId("i-1"),
            key="ENG-1",
            title="T",
            url="u",
            team_id="t-1",
            team_key="ENG",
            branch_name="alice/eng-1",
            state_type="unstarted",
            delegate=UserId("u-2"),
        )


async def test_an_issue_that_is_not_there_is_a_lasting_error(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [data(issue=None), data(issue={"id": 5})]
    with pytest.raises(LinearError) as gone:
        await linear.issue(IssueId("i-1"))
    assert not gone.value.retryable
    with pytest.raises(LinearError, match="another shape"):
        await linear.issue(IssueId("i-1"))


async def test_a_delegated_issue_goes_to_the_lowest_started_state_and_gets_us_as_delegate() -> None:
    async with issue_desk(replied_issue()) as fake, open_linear(fake.url, access_token="x") as linear:
        await linear.begin_issue(IssueId("i-1"), start=True, delegate=True)
        await linear.begin_issue(IssueId("i-1"), start=True, delegate=False)
        await linear.begin_issue(IssueId("i-1"), start=False, delegate=False)
    assert updates(fake) == [{"stateId": "prog", "delegateId": "u-app"}, {"stateId": "prog"}]
    asked = [asked.document for asked in fake.asked]
    assert asked.count("TeamStartedStates") == 1
    assert asked.count("Viewer") == 1
    assert asked.count("Issue") == 2


@pytest.mark.parametrize("state", ["started", "completed", "canceled", "duplicate"])
async def test_an_issue_under_way_or_done_is_left_where_it_is(state: str) -> None:
    issue = replied_issue(state={"id": "s", "type": state}, delegate={"id": "someone"})
    async with issue_desk(issue) as fake, open_linear(fake.url, access_token="x") as linear:
        await linear.begin_issue(IssueId("i-1"), start=True, delegate=True)
    assert [asked.document for asked in fake.asked] == ["Issue"]


async def test_the_viewer_is_asked_once_and_our_mentions_are_taken_out_from_then_on() -> None:
    async with issue_desk(replied_issue()) as fake, open_linear(fake.url, access_token="x") as linear:
        us = Viewer(
            id=UserId("u-app"),
            name="OpenCode",
            display_name="opencode",
            url="https://l.example/profiles/opencode",
            organization=OrganizationId("o-1"),
            url_key="acme",
        )
        assert await linear.viewer() == us
        assert await linear.viewer() == us
        await post(linear, "I, @opencode, am done")
    assert [asked.document for asked in fake.asked] == ["Viewer", "ActivityCreate"]
    assert fake.asked[-1].variables["input"]["content"]["body"] == "I, opencode, am done"


# ── what goes wrong ──────────────────────────────────────────────────────
async def test_a_lost_reply_is_asked_again_and_the_duplicate_is_a_success(fake: FakeLinear, linear: Linear) -> None:
    taken = json.dumps({"errors": [{"message": f"an entity with id {ID} already exists"}]}).encode()
    fake.answers = [Reply(lost=True), Reply(200, taken)]
    assert await post(linear) == "already_there"
    assert fake.asked[0].variables == fake.asked[1].variables


async def test_a_reply_that_is_lost_twice_is_left_to_the_caller(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [Reply(lost=True), Reply(lost=True)]
    with pytest.raises(LinearError) as lost:
        await post(linear)
    assert lost.value.retryable
    assert len(fake.asked) == 2


@pytest.mark.parametrize("rudely", [False, True])
async def test_connections_are_kept_and_a_closed_one_is_replaced_unnoticed(
    fake: FakeLinear, linear: Linear, rudely: bool
) -> None:
    for _ in range(3):
        await post(linear)
    assert fake.connections == 1
    fake.hang_up(rudely=rudely)
    assert await post(linear) == "written"


async def test_links_that_are_there_already_are_a_success(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [Reply(200, json.dumps({"errors": [{"message": "url already exists"}]}).encode())]
    await linear.add_links(S, [Link(label="a", url="b")])
    assert len(fake.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_outage_is_retryable(fake: FakeLinear, linear: Linear, status: int) -> None:
    fake.answers = [Reply(status, b"<html>")]
    with pytest.raises(LinearError) as down:
        await post(linear)
    assert down.value.retryable
    assert await post(linear) == "written"


async def test_nobody_listening_is_retryable() -> None:
    async with open_linear("http://127.0.0.1:1", access_token="x") as linear:
        with pytest.raises(LinearError, match="cannot be reached") as down:
            await post(linear)
    assert down.value.retryable


async def test_silence_ends_at_the_deadline(fake: FakeLinear, linear: Linear) -> None:
    def fall_silent(_: Asked) -> Reply:
        skip(60.0)
        return Reply(silent=True)

    fake.always = fall_silent
    with pytest.raises(LinearError, match="did not answer within 60 s") as late:
        await post(linear)
    assert late.value.retryable
    fake.always = lambda _: WRITTEN
    assert await post(linear) == "written"


async def test_a_mutation_without_success_is_no_success(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [data(agentActivityCreate={"success": False})]
    with pytest.raises(LinearError):
        await post(linear)


async def test_a_refusal_for_good_is_not_retryable(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [Reply(200, json.dumps({"errors": [{"message": "Entity not found: AgentSession"}]}).encode())]
    with pytest.raises(LinearError) as gone:
        await post(linear)
    assert not gone.value.retryable


async def test_an_endless_reply_is_cut_off(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [Reply(200, b" " * (9 * 1024 * 1024))]
    with pytest.raises(LinearError, match="larger"):
        await post(linear)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, LIMITED, {"Retry-After": "5"}),
        Reply(429, LIMITED, {"Retry-After": "5"}),
        Reply(429, b"slow down", {"Retry-After": "5"}),
        Reply(200, LIMITED, {"Retry-After": "5"}),
    ],
)
async def test_after_a_used_up_quota_nothing_is_sent_until_the_reset(fake: FakeLinear, reply: Reply) -> None:
    clock = HeldClock()
    fake.answers = [reply]
    async with open_linear(fake.url, access_token="x", clock=clock) as linear:
        with pytest.raises(RateLimited) as limited:
            await post(linear)
        assert limited.value.retry_after_s == 5.0
        with pytest.raises(Dropped):
            await linear.post(S, ID, Thought(body="hm", fleeting=True))
        waiting = asyncio.create_task(post(linear))
        await clock.move(4.0)
        assert len(fake.asked) == 1
        await clock.move(1.5)
        assert await waiting == "written"


async def test_an_action_passes_soon_after_the_reset_though_nothing_else_was_sent(fake: FakeLinear) -> None:
    clock = HeldClock()
    headers = {"X-RateLimit-Requests-Limit": "5000", "X-RateLimit-Requests-Remaining": "0"}
    fake.answers = [Reply(400, LIMITED, headers | {"X-RateLimit-Requests-Reset": str(int((clock.now() + 2) * 1000))})]
    async with open_linear(fake.url, access_token="x", clock=clock) as linear:
        with pytest.raises(RateLimited) as limited:
            await post(linear)
        assert limited.value.retry_after_s == pytest.approx(2.0)
        await clock.move(2.1)
        assert await linear.post(S, ID, Action(verb="Ran", subject="x", result="y")) == "written"


async def test_the_quota_that_linear_tells_is_believed(fake: FakeLinear) -> None:
    low = {"X-RateLimit-Requests-Limit": "5000", "X-RateLimit-Requests-Remaining": "40"}
    fake.answers = [Reply(200, recording("graphql-agentActivityCreate-ok"), low)]
    async with open_linear(fake.url, access_token="x", clock=HeldClock()) as linear:
        await post(linear)
        assert linear.governor.left() == 40
        with pytest.raises(RateLimited):
            await linear.post(S, ID, Action(verb="Ran", subject="x", result="y"))
        assert await post(linear) == "written"


async def test_a_caller_may_raise_the_priority(fake: FakeLinear) -> None:
    clock = HeldClock()
    gate = Governor(clock)
    gate.answered(Quota(limit=5000, remaining=300))
    async with open_linear(fake.url, access_token="x", clock=clock, governor=gate) as linear:
        with pytest.raises(RateLimited):
            await linear.post(S, ID, Action(verb="Ran", subject="x", result="y"))
        await linear.post(S, ID, Action(verb="Ran", subject="x", result="y"), priority=Priority.FINAL)


@pytest.mark.parametrize(
    "activity, priority",
    [
        (Response(body="x"), Priority.FINAL),
        (Failure(body="x"), Priority.FINAL),
        (Elicitation(body="x"), Priority.ASK),
        (Thought(body="x"), Priority.ACK),
        (Action(verb="x", subject="x"), Priority.ACTION),
        (Action(verb="x", subject="x", fleeting=True), Priority.EPHEMERAL),
        (Thought(body="x", fleeting=True), Priority.EPHEMERAL),
    ],
)
def test_the_priority_of_an_activity_follows_from_its_kind(activity: Response, priority: Priority) -> None:
    assert priority_of(activity) is priority


# ── tokens ───────────────────────────────────────────────────────────────
def paths(fake: FakeLinear) -> list[str]:
    return [asked.path for asked in fake.asked]


async def test_the_app_fetches_one_token_and_keeps_it(fake: FakeLinear) -> None:
    fake.answers = [TOKEN]
    async with open_app(fake.url) as linear:
        await asyncio.gather(*(post(linear) for _ in range(8)))
    assert paths(fake) == ["/oauth/token"] + ["/graphql"] * 8
    form = fake.asked[0]
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form.body.decode() == (
        f"grant_type=client_credentials&client_id=app&client_secret={SECRET}&scope={SCOPE}".replace(",", "%2C").replace(
            "app:", "app%3A"
        )
    )
    assert fake.asked[1].headers["authorization"] == "Bearer fake-app-token"


async def test_a_rejected_token_is_fetched_anew_once(fake: FakeLinear) -> None:
    fake.answers = [TOKEN, REJECTED, Reply(body=TOKEN.body.replace(b"fake-app-token", b"second-token")), WRITTEN]
    async with open_app(fake.url) as linear:
        assert await post(linear) == "written"
    assert paths(fake) == ["/oauth/token", "/graphql", "/oauth/token", "/graphql"]
    assert fake.asked[-1].headers["authorization"] == "Bearer second-token"


async def test_a_token_that_is_rejected_again_and_again_is_no_loop(fake: FakeLinear) -> None:
    fake.always = lambda asked: TOKEN if asked.path == "/oauth/token" else REJECTED
    clock = HeldClock()
    async with open_app(fake.url, clock) as linear:
        for _ in range(5):
            with pytest.raises(Unauthorized) as refused:
                await post(linear)
            assert refused.value.retryable
        assert paths(fake).count("/oauth/token") == 2
        await clock.move(31.0)
        with pytest.raises(Unauthorized):
            await post(linear)
        assert paths(fake).count("/oauth/token") == 3


async def test_a_given_token_that_is_rejected_is_told_at_once(fake: FakeLinear, linear: Linear) -> None:
    fake.answers = [REJECTED]
    with pytest.raises(Unauthorized):
        await post(linear)
    assert len(fake.asked) == 1


async def test_tokens_are_renewed_before_their_end_time_and_again(fake: FakeLinear) -> None:
    fake.always = lambda asked: TOKEN if asked.path == "/oauth/token" else WRITTEN
    clock = HeldClock()
    async with open_app(fake.url, clock) as linear:
        for fetched in (1, 2, 3):
            await post(linear)
            await clock.move(2_591_999 - 3700)
            await post(linear)
            assert paths(fake).count("/oauth/token") == fetched
            await clock.move(200)


@pytest.mark.parametrize(
    "status, body, message",
    [
        (
            400,
            {"error": "Error", "error_description": "Client does not support the client_credentials grant type"},
            "switch on",
        ),
        (401, {"error": "invalid_client", "error_description": "Bad secret " + SECRET}, "LINEAR_CLIENT_SECRET"),
        (400, {"error": "invalid_grant"}, "LINEAR_CLIENT_ID"),
        (400, [], "LINEAR_CLIENT_ID"),
        (500, {}, "out of order"),
        (200, {"access_token": ""}, "unusable"),
        (200, {"access_token": "a\r\nX: b"}, "unusable"),
        (200, {"access_token": "a", "expires_in": -1}, "unusable"),
        (200, {"token": "a"}, "something else"),
    ],
)
async def test_a_refused_token_says_what_to_do_and_never_the_secret(
    fake: FakeLinear, status: int, body: object, message: str
) -> None:
    fake.answers = [Reply(status, json.dumps(body).encode())]
    async with open_app(fake.url) as linear:
        with pytest.raises(LinearError, match=message) as refused:
            await post(linear)
    assert refused.value.retryable
    assert SECRET not in str(refused.value)
    assert isinstance(refused.value, TokenRefused) is (status in {400, 401})


@pytest.mark.parametrize(
    "status, kind", [(401, "authentication error"), (400, "invalid input"), (500, "internal error")]
)
@pytest.mark.parametrize("before", [0, 250])  # characters: a message is cut at 300
async def test_no_error_holds_the_fetched_token_that_linear_repeats(
    fake: FakeLinear, status: int, kind: str, before: int
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/oauth/token":
            return Reply(200, json.dumps({"access_token": CANARY, "expires_in": 9_999}).encode())
        said = "x" * before + f"bad header {asked.headers['authorization']}"
        return Reply(status, json.dumps({"errors": [{"message": said, "extensions": {"type": kind}}]}).encode())

    fake.always = answer
    async with open_app(fake.url) as linear:
        with pytest.raises(LinearError, match="bad header Bearer") as refused:
            await post(linear)
    assert CANARY[:8] not in str(refused.value)


def test_a_token_reply_needs_no_expiry() -> None:
    assert read_token(200, b'{"access_token": "a"}', secret="s").expires_in > 3600


async def test_an_unreachable_token_endpoint_is_an_outage() -> None:
    async with open_app("http://127.0.0.1:1") as linear:
        with pytest.raises(LinearError, match="token endpoint cannot be reached"):
            await post(linear)


async def test_many_at_once_are_bounded_and_all_arrive(fake: FakeLinear, linear: Linear) -> None:
    ids = [ActivityId(f"a-{n}") for n in range(300)]
    await asyncio.gather(*(linear.post(S, each, Response(body="x")) for each in ids))
    assert sorted(asked.variables["input"]["id"] for asked in fake.asked) == sorted(ids)
    assert fake.connections <= 32

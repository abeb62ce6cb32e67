"""The GraphQL face, its tokens and its limits."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import msgspec
import pytest

from dragoman.sim.quota import Quota
from tests.sim.conftest import HeldClock, Stage, make_stage

CREATE = "mutation($input: AgentActivityCreateInput!){agentActivityCreate(input:$input){success agentActivity{id}}}"
FORM = "application/x-www-form-urlencoded"


def test_an_activity_is_written_and_read_back_in_the_types_of_its_content(stage: Stage) -> None:
    session, ours = stage.mentioned(), str(uuid.uuid4())
    content = {"type": "action", "action": "Ran", "parameter": "ls", "result": "a.py"}
    entry = {"agentSessionId": session.id, "content": content, "id": ours, "ephemeral": False}
    assert stage.ask(CREATE, input=entry)[1]["data"]["agentActivityCreate"]["agentActivity"]["id"] == ours
    stage.people.follow_up(session.id, "thanks")
    document = """query($id: String!){agentSession(id:$id){status activities(first:5){nodes{
        id ephemeral user{name} content{__typename
          ... on AgentActivityActionContent{action parameter result} ... on AgentActivityPromptContent{body}}}}}}"""
    nodes = stage.ask(document, id=session.id)[1]["data"]["agentSession"]["activities"]["nodes"]
    assert [node["content"]["__typename"] for node in nodes] == [
        "AgentActivityPromptContent",
        "AgentActivityActionContent",
    ], "newest first"
    assert nodes[1]["content"]["result"] == "a.py"
    assert [node["user"]["name"] for node in nodes] == ["Alice Example", "OpenCode"]


def test_a_refusal_comes_with_status_200_and_extensions(stage: Stage) -> None:
    session, ours = stage.mentioned(), str(uuid.uuid4())
    entry = {"agentSessionId": session.id, "content": {"type": "thought", "body": "x"}, "id": ours}
    stage.ask(CREATE, input=entry)
    status, body = stage.ask(CREATE, input=entry)
    (error,) = body["errors"]
    assert (status, body["data"]) == (200, None)
    assert error["path"] == ["agentActivityCreate"]
    assert (error["extensions"]["type"], error["extensions"]["userError"]) == ("invalid input", True)


@pytest.mark.parametrize(
    "document, variables",
    [
        ("query {", {}),
        ("{ viewer { mood } }", {}),
        ("query($d: DateTime!){ agentActivities(filter:{createdAt:{gte:$d}}){ nodes { id } } }", {"d": "2026-01-01"}),
        (CREATE, {}),
        (CREATE, {"input": {"content": {}}}),
        (CREATE, {"input": {"agentSessionId": "x", "content": {}, "mood": 1}}),
        ("{ issue(id: 1, key: 2) { id } }", {}),
    ],
)
def test_a_request_that_does_not_fit_the_schema_is_400(stage: Stage, document: str, variables: dict[str, Any]) -> None:
    status, body = stage.ask(document, **variables)
    assert status == 400
    assert "data" not in body
    assert body["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": 1}', b"[" * 60_000])
def test_a_body_that_is_no_request_is_400(stage: Stage, body: bytes) -> None:
    assert stage.graphql.answer(f"Bearer {stage.token}", body).status == 400


def test_pages_go_on_from_the_cursor_and_filters_choose(stage: Stage) -> None:
    session = stage.mentioned()
    for number in range(5):
        stage.clock.forward(1)
        stage.people.follow_up(session.id, f"message {number}")
    document = """query($after: String){agentActivities(first:2, after:$after, filter:{type:{eq:"prompt"}})
        {nodes{content{... on AgentActivityPromptContent{body}}} pageInfo{hasNextPage endCursor}}}"""
    seen: list[str] = []
    page: dict[str, Any] = {"pageInfo": {"endCursor": None}}
    for _ in range(3):
        page = stage.ask(document, after=page["pageInfo"]["endCursor"])[1]["data"]["agentActivities"]
        seen += [node["content"]["body"] for node in page["nodes"]]
    assert seen == [f"message {number}" for number in (4, 3, 2, 1, 0)]
    assert not page["pageInfo"]["hasNextPage"]
    since = "query($s: DateTimeOrDuration!){agentActivities(filter:{createdAt:{gt:$s}}){nodes{id}}}"
    assert len(stage.ask(since, s="2026-11-18T11:06:43.000Z")[1]["data"]["agentActivities"]["nodes"]) == 2
    assert stage.ask("{agentActivities(first:251){nodes{id}}}")[1]["errors"]


def test_without_a_living_token_everything_is_401(stage: Stage) -> None:
    body = msgspec.json.encode({"query": "{viewer{id}}"})
    for header in (None, "", "Bearer", "Bearer wrong", stage.token, f"Basic {stage.token}"):
        reply = stage.graphql.answer(header, body)
        assert (reply.status, b"AUTHENTICATION_ERROR" in reply.body) == (401, True)
    assert stage.ask("{viewer{id}}")[0] == 200
    stage.tokens.revoke_all()
    assert stage.ask("{viewer{id}}")[0] == 401


def test_client_credentials_give_a_token_that_expires(stage: Stage) -> None:
    basic = "Basic " + base64.b64encode(b"app:sesame").decode()
    status, grant = stage.tokens.grant(FORM, basic, b"grant_type=client_credentials&scope=read,write")
    assert (status, grant["token_type"], grant["expires_in"]) == (200, "Bearer", 2_591_999)
    stage.token = str(grant["access_token"])
    assert stage.ask("{viewer{app}}")[1] == {"data": {"viewer": {"app": True}}}
    stage.clock.forward(2_592_000)
    assert stage.ask("{viewer{app}}")[0] == 401
    form = b"grant_type=client_credentials&client_id=app&client_secret=sesame"
    assert stage.tokens.grant(FORM, None, form)[0] == 200


@pytest.mark.parametrize(
    "content_type, header, form, status",
    [
        ("application/json", None, b"{}", 400),
        (FORM, None, b"grant_type=refresh_token", 400),
        (FORM, None, b"grant_type=client_credentials", 401),
        (FORM, None, b"grant_type=client_credentials&client_id=app&client_secret=wrong", 401),
        (FORM, "Basic !!!", b"grant_type=client_credentials&client_id=app&client_secret=sesame", 401),
        (FORM, None, b"\xff", 400),
    ],
)
def test_the_token_endpoint_refuses(
    stage: Stage, content_type: str, header: str | None, form: bytes, status: int
) -> None:
    assert stage.tokens.grant(content_type, header, form)[0] == status
    assert stage.tokens.granted == 0


def test_requests_are_limited_by_a_leaky_bucket() -> None:
    stage = make_stage(requests=2)
    assert [stage.ask("{viewer{id}}")[0] for _ in range(3)] == [200, 200, 400]
    status, body = stage.ask("{viewer{id}}")
    assert (status, body["errors"][0]["extensions"]["code"]) == (400, "RATELIMITED")
    stage.clock.forward(1799)
    assert stage.ask("{viewer{id}}")[0] == 400
    stage.clock.forward(1)
    assert stage.ask("{viewer{id}}")[0] == 200


def test_every_reply_tells_what_is_left() -> None:
    clock = HeldClock()
    quota = Quota(clock, requests=3600, points=7200)
    assert quota.take(11)
    headers = quota.headers(11)
    assert headers["x-ratelimit-requests-remaining"] == "3599"
    assert headers["x-ratelimit-requests-reset"] == str(int((clock.at + 1) * 1000))
    assert (headers["x-complexity"], headers["x-ratelimit-complexity-remaining"]) == ("11", "7189")


def test_complexity_multiplies_by_the_page_and_has_a_ceiling(stage: Stage) -> None:
    def points(document: str, **variables: Any) -> int:
        body = msgspec.json.encode({"query": document, "variables": variables})
        return int(dict(stage.graphql.answer(f"Bearer {stage.token}", body).headers)["x-complexity"])

    assert points("{viewer{id name}}") == 2  # 1 + 0.2, rounded up
    assert points("{agentSessions(first:10){nodes{id}}}") == 12  # 1 + 10 * (1 + 0.1)
    assert points("query($n:Int){agentSessions(first:$n){nodes{id}}}", n=20) == 23
    deep = "{agentSessions(first:250){nodes{activities(first:250){nodes{id}}}}}"
    assert points(deep) > 10_000
    assert stage.ask(deep)[0] == 400


def test_repository_suggestions_know_only_what_they_were_told(stage: Stage) -> None:
    issue = stage.people.create_issue("x")
    stage.world.suggestions = {"acme/checkout": 0.9, "acme/other": 0.2}
    document = """query($i:String!,$c:[CandidateRepository!]!){issueRepositorySuggestions(issueId:$i,
        candidateRepositories:$c){suggestions{repositoryFullName confidence}}}"""
    candidates = [{"hostname": "github.com", "repositoryFullName": f"acme/{n}"} for n in ("other", "none", "checkout")]
    found = stage.ask(document, i=issue.id, c=candidates)[1]["data"]["issueRepositorySuggestions"]["suggestions"]
    assert [suggestion["repositoryFullName"] for suggestion in found] == ["acme/checkout", "acme/other"]

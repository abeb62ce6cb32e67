"""The scripted model: its stories, its wire format, and that it goes on where a conversation stands."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from dragoman.sim import Simulator
from dragoman.sim.conversation import place_of, step_at
from dragoman.sim.script import Ask, Drop, Fail, Pause, Say, Story, Think, Use, filled
from dragoman.sim.stories import STORIES

TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {}}}]
SYSTEM = {"role": "system", "content": "You are an agent.\n<env>\n  Working directory: /srv/work space\n</env>"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def said(text: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def place(messages: list[dict[str, Any]], *stories: Story) -> tuple[str, str, int]:
    found = place_of(messages, {story.name: story for story in stories or STORIES}, "default")
    return found.story, found.script, found.step


TWO = Story(name="two", steps=((Say(text="1"),), (Say(text="2"),)), after=((Say(text="a"),), (Say(text="b"),)))


@pytest.mark.parametrize(
    "messages, where",
    [
        ([user("hello")], ("default", "steps", 0)),
        ([user("go [story=two]")], ("two", "steps", 0)),
        ([user("go [story=two]"), said()], ("two", "steps", 1)),
        ([user("go [story=two]"), said(), user("steer")], ("two", "steps", 1)),
        ([user("go [story=two]"), said(), said(), user("more")], ("two", "after", 0)),
        ([user("go [story=two]"), said(), said(), user("more"), said()], ("two", "after", 1)),
        ([user("go [story=two]"), said(), said(), user("more"), said(), said(), user("x")], ("two", "after", 0)),
        ([user("x [story=two]"), said(), user("now [story=stop]")], ("stop", "steps", 0)),
        ([user("[story=stop] quoted, then [story=two]")], ("two", "steps", 0)),
    ],
)
def test_the_place_in_a_story_follows_from_the_conversation(messages: Any, where: tuple[str, str, int]) -> None:
    assert place([SYSTEM, *messages], TWO, *STORIES) == where


def test_beyond_its_script_the_model_quotes_the_newest_message() -> None:
    alone = Story(name="alone", steps=((Say(text="1"),),))
    found = place_of([user("[story=alone]"), said(), user("and now?")], {"alone": alone}, "default")
    (part,) = step_at(found, {"alone": alone})
    assert isinstance(part, Say)
    assert filled(part.text, found.words) == "You wrote: and now?"


def test_of_a_message_with_tags_it_quotes_what_people_wrote() -> None:
    text = 'Asked by Ann:\n<untrusted-1 kind="request">\nThe docs,\ntoo [story=one]\n</untrusted-1>\nBe brief.'
    assert place_of([user(text)], {}, "default").words["newest"] == "The docs,\ntoo"


def test_placeholders_know_the_directory_the_answer_and_the_last_result() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "question", "arguments": "{}"}}
    messages = [
        SYSTEM,
        user("[story=two] do it"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Blue"},
        {"role": "tool", "tool_call_id": "c2", "content": "listing"},
    ]
    words = place_of(messages, {}, "default").words
    assert words == {"cwd": "/srv/work space", "newest": "do it", "answer": "Blue", "result": "listing"}
    assert filled({"a": ["{cwd}/x", 3]}, words) == {"a": ["/srv/work space/x", 3]}


async def ask(http: aiohttp.ClientSession, *messages: Any, stream: bool = True, tools: Any = TOOLS) -> Any:
    """The whole answer of a plain request, or (content, reasoning, calls, finish) of a streamed one."""
    request = {"model": "scripted", "stream": stream, "messages": [SYSTEM, *messages], "tools": tools}
    async with http.post("/v1/chat/completions", json=request) as reply:
        if not stream or reply.status != 200:
            return reply.status, await reply.json(), reply.headers
        assert reply.headers["content-type"] == "text/event-stream"
        lines = (await reply.text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    content, reasoning, calls, finish = "", "", [], None
    chunk: dict[str, Any] = {}
    for line in lines[:-2]:
        chunk = json.loads(line.removeprefix("data: "))
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            content += choice["delta"].get("content", "")
            reasoning += choice["delta"].get("reasoning_content", "")
            calls += choice["delta"].get("tool_calls", [])
            finish = choice["finish_reason"] or finish
    assert "total_tokens" in chunk["usage"]
    return content, reasoning, calls, finish


async def test_a_step_is_streamed_as_reasoning_text_and_tool_calls(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.model.tell(
        "mine",
        [
            Think(text="let me think"),
            Say(text="Reading  two files.\n"),
            Use(tool="read", args={"filePath": "{cwd}/a"}),
            Ask(question="Which?", options=(("Red", "r"), ("Blue", "b")), header="Colour"),
        ],
    )
    content, reasoning, calls, finish = await ask(http, user("[story=mine]"))
    assert (content, reasoning, finish) == ("Reading  two files.\n", "let me think", "tool_calls")
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "read"), (1, "question")]
    assert json.loads(calls[0]["function"]["arguments"]) == {"filePath": "/srv/work space/a"}
    (question,) = json.loads(calls[1]["function"]["arguments"])["questions"]
    assert question["options"] == [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]
    assert len({call["id"] for call in calls}) == 2


async def test_an_answer_can_be_had_in_one_piece(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.model.tell("mine", [Say(text="Hello there."), Use(tool="bash", args={"command": "ls", "description": "l"})])
    status, body, _ = await ask(http, user("[story=mine]"), stream=False)
    (choice,) = body["choices"]
    assert (status, choice["finish_reason"], choice["message"]["content"]) == (200, "tool_calls", "Hello there.")
    assert "index" not in choice["message"]["tool_calls"][0]


async def test_small_separate_calls_get_a_fixed_answer_and_are_not_counted(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    content, _, calls, finish = await ask(http, user("Fix it, please"), tools=[])
    assert (content, calls, finish) == ("Work on the request", [], "stop")
    assert (len(sim.model.requests), sim.model.runs_of("Fix it")) == (1, 0)


async def test_the_requests_are_recorded_so_that_runs_can_be_counted(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    first = user("[story=steer] one")
    await ask(http, first)
    await ask(http, first, said("x"))
    await ask(http, first, said("x"), user("two"))
    assert [(heard.story, heard.step, heard.newest) for heard in sim.model.requests] == [
        ("steer", 0, "[story=steer] one"),
        ("steer", 1, "[story=steer] one"),
        ("steer", 1, "two"),
    ]
    assert sim.model.runs_of("one") == 1
    assert (await sim.model.wait_for_request("two")).users == ("[story=steer] one", "two")


async def test_a_failure_has_its_status_and_ends_when_its_times_are_over(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.model.tell("busy", [Fail(status=429, message="slow down", retry_after_s=3, times=2), Say(text="through")])
    for _ in range(2):
        status, body, headers = await ask(http, user("[story=busy]"))
        assert (status, body["error"]["message"], headers["retry-after"]) == (429, "slow down", "3")
    assert (await ask(http, user("[story=busy]")))[0] == "through"
    status, body, _ = await ask(http, user("[story=error]"))
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")


async def test_a_dropped_answer_breaks_off_and_the_next_try_is_whole(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.model.tell("torn", [Say(text="half "), Drop(), Say(text="whole")])
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(http, user("[story=torn]"))
    assert (await ask(http, user("[story=torn]")))[0] == "half whole"


async def test_a_pause_lasts_until_it_is_released(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.model.tell("held", [Say(text="before "), Pause(until="gate"), Say(text="after")])
    asked = asyncio.create_task(ask(http, user("[story=held]")))
    await sim.model.wait_for_request("[story=held]")
    await asyncio.sleep(0)
    assert not asked.done()
    sim.model.release("gate")
    assert (await asked)[0] == "before after"


async def test_parts_can_depend_on_the_answer_to_a_question(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.model.tell("pick", [Say(text="?")], [Say(text="red it is", when="Red"), Say(text="not red", unless="Red")])
    call = {"id": "c1", "type": "function", "function": {"name": "question", "arguments": "{}"}}
    asked = [user("[story=pick]"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    for answer, wanted in (('"Which?"="red"', "red it is"), ("dark green", "not red")):
        reply = await ask(http, *asked, {"role": "tool", "tool_call_id": "c1", "content": answer})
        assert reply[0] == wanted


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": 3}', b'{"messages": [3]}', b"{}"])
async def test_a_request_that_is_none_is_400(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.post("/v1/chat/completions", data=body) as reply:
        assert reply.status == 400


async def test_the_model_is_listed(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as reply:
        assert [model["id"] for model in (await reply.json())["data"]] == ["scripted"]

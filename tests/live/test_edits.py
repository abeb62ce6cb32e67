"""The real OpenCode works while people edit the issue and write comments on it."""

from __future__ import annotations

import pytest

from dragoman.sim.script import Pause, Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.test_stories import PIXEL

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

RESOURCES = ("AgentSessionEvent", "AppUserNotification", "Comment", "Issue")


async def test_a_live_run_is_told_what_people_changed_and_answers_once(serving: Serving) -> None:
    async with serving(linear={"resources": RESOURCES}, toml="\n[session]\ngather_s = 0.5\n") as service:
        linear = service.linear
        linear.model.tell(
            "told", [bash("echo one", "One")], [Pause(until="told"), Say(text="Two.")], [Say(text="{newest}")]
        )
        session = service.ask("[story=told] count")
        await linear.model.wait_for_request("count", step=1)
        linear.people.edit_issue(session.issue or "", description="It happens in v2 only.")
        picture = linear.store.put("shot.png", "image/png", PIXEL)
        seen = f"See line seven. ![shot.png]({linear.url}{picture})"
        linear.people.comment(session.issue or "", seen, by=linear.world.bob)
        await service.shows(session, "thought", "I have told the agent.")
        await service.becomes(lambda: [line for line in service.lines("effect.done") if line["effect"] == "SteerRun"])
        linear.model.release("told")
        final = await service.ends(session)

        assert final.kind == "response"
        heard = [one for one in linear.model.requests if not one.utility][-1]
        told = "\n".join(heard.users)
        assert told.count("It happens in v2 only.") == 1
        assert told.count("See line seven.") == 1
        assert heard.files == ("image/png",)
        assert "Bob Example wrote a comment:\n<untrusted-" in told

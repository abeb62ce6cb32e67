"""The service dies between commit, push and pull request: in the end there is one of each, and one final."""

from __future__ import annotations

import pytest

from tests.marks import deep
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, git, writes


@pytest.mark.parametrize(
    "label, after",
    [
        deep("refs", False),  # committed and saved, nothing pushed
        deep("push", False),  # the push is on its way
        ("push", True),  # pushed, and the answer was never heard
        deep("pulls.find", False),  # pushed, no pull request
        deep("pulls.open", False),  # asked for
        deep("pulls.open", True),  # opened, and the answer was never heard
    ],
)
async def test_a_kill_between_commit_push_and_pull_request_ends_with_one_of_each(
    make_stage: MakeStage, label: str, after: bool
) -> None:
    async with make_stage(forge=True, apart=True) as stage:
        stage.agent.plays("not committed yet")
        session = await at_work(stage)
        folder = stage.workspace(session)
        branch = git(folder, "branch", "--show-current")
        writes(folder)
        # The fetch before the run asks for refs, too: only what comes now is meant.
        held = stage.forge.hold(label, after=after)
        stage.agent.release("work")
        await stage.until(held.reached.is_set, label, 30.0)
        await stage.kill()
        held.release()
        await stage.start()
        _, body = await stage.final(session)
        shop = stage.forge.repositories["acme/shop"]
        [pull] = shop.pulls
        await stage.until(lambda: pull["html_url"] in stage.links(session), "its link")
        assert pull["html_url"] in body
        assert len(stage.finals(session)) == 1
        assert shop.git("rev-list", "--count", f"main..{branch}") == "1"
        assert git(folder, "rev-list", "--count", f"origin/main..{branch}") == "1"
        assert shop.tip(branch) == git(folder, "rev-parse", branch)

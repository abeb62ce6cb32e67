"""When work cannot be delivered: people read the agent's words, what happened and what to do, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dragoman.sim.script import Say, Use
from tests.marks import deep
from tests.repositories.test_github import a_key
from tests.stories.checks import files_with
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import WORK, at_work, commits, git, writes
from tests.stories.world import GITHUB_TOKEN, Stage

KEPT = "The work is kept on my side."


async def finished(stage: Stage) -> tuple[str, str]:
    """A session whose agent has committed its work, and its final."""
    session = await at_work(stage)
    writes(stage.workspace(session))
    commits(stage.workspace(session))
    stage.agent.release("work")
    kind, body = await stage.final(session)
    assert kind == "response"
    assert body.startswith("Done: add() is there.")
    return session, body


@pytest.mark.deep
async def test_a_protected_branch_is_told_and_works_once_it_is_not(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        issue = stage.world.issue(stage.issue())
        shop = stage.forge.repositories["acme/shop"]
        shop.protect(issue.branch_name)
        stage.agent.plays("", WORK, Say(text="Done: add() is there."))
        session = stage.mention(issue=issue.identifier)
        await stage.until_shown(session, "action", "wait work")
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert f"A rule of acme/shop forbids pushing to `{issue.branch_name}`" in body
        assert KEPT in body
        assert "**Pushed:** no" in body
        (shop.folder / "protected").unlink()
        stage.people.follow_up(session, "try again")
        assert "**Pull request:**" in (await stage.final(session, 2))[1]


async def test_a_token_that_may_only_read_is_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.forge.tokens[GITHUB_TOKEN] = "read"
        _, body = await finished(stage)
        assert "My token may not write to acme/shop" in body
        assert KEPT in body


async def test_a_token_that_may_not_open_pull_requests_is_told_and_the_branch_is_there(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.forge.tokens[GITHUB_TOKEN] = "contents"
        _, body = await finished(stage)
        assert "my token may not open pull requests in acme/shop" in body
        assert "/acme/shop/compare/main..." in body
        assert len(stage.forge.repositories["acme/shop"].branches()) == 2


async def test_a_token_that_is_no_longer_accepted_is_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        del stage.forge.tokens[GITHUB_TOKEN]
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert "does not accept my credentials" in body
        assert "GITHUB_TOKEN" in body


async def test_a_branch_that_somebody_else_has_pushed_to_is_not_overwritten(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        folder = stage.workspace(session)
        branch = git(folder, "branch", "--show-current")
        shop = stage.forge.repositories["acme/shop"]
        theirs = shop.git("commit-tree", "main^{tree}", "-p", "main", "-m", "Bob's own")
        shop.git("update-ref", f"refs/heads/{branch}", theirs)
        writes(folder)
        commits(folder)
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert f"Somebody else has pushed to `{branch}`" in body
        assert shop.tip(branch) == theirs


@pytest.mark.parametrize(
    "label, told",
    [
        deep("refs", "The remote cannot be reached at the moment."),
        ("pulls.find", "GitHub cannot be reached at the moment."),
    ],
)
async def test_a_forge_that_is_down_does_not_hold_up_the_answer_and_gets_the_work_later(
    make_stage: MakeStage, label: str, told: str
) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.forge.refuse(label, 503, "Service Unavailable")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert told in body
        assert "I keep trying" in body
        stage.forge.allow(label)
        await stage.until(lambda: stage.forge.repositories["acme/shop"].pulls, "the pull request", 60.0)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        await stage.until(lambda: pull["html_url"] in stage.links(session), "its link")
        assert len(stage.finals(session)) == 1


@pytest.mark.parametrize(
    "said, headers, wait_s",
    [
        deep(
            "API rate limit exceeded for user ID 1.", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "RESET"}, 1.0
        ),
        ("You have exceeded a secondary rate limit.", {"retry-after": "3"}, 3.0),
    ],
)
@pytest.mark.deep
async def test_a_rate_limit_is_waited_for_behind_the_answer(
    make_stage: MakeStage, said: str, headers: dict[str, str], wait_s: float
) -> None:
    async with make_stage(forge=True) as stage:
        held = stage.forge.hold("pulls.open")
        finishing = asyncio.create_task(finished(stage))
        await stage.until(held.reached.is_set, "the request")
        headers = {name: value.replace("RESET", str(int(time.time()) + 6)) for name, value in headers.items()}
        stage.forge.refuse("pulls.open", 403, said, headers=headers, times=1)
        held.release()
        session, body = await finishing
        assert "GitHub takes no more requests from me for a while. I keep trying" in body
        await stage.until(lambda: stage.forge.repositories["acme/shop"].pulls, "the pull request", 60.0)
        await stage.until(lambda: len(stage.links(session)) == 1, "its link")
        first, again = [at for label, at in asked(stage) if label == "pulls.open"]
        assert again - first >= wait_s


def asked(stage: Stage) -> list[tuple[str, float]]:
    """What the forge was asked, and when."""
    return list(zip(stage.forge.requests, stage.forge.asked_at, strict=True))


@pytest.mark.deep
async def test_what_is_tried_again_and_then_refused_is_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        stage.forge.refuse("refs", 503, "Service Unavailable")
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        assert "I keep trying" in (await stage.final(session))[1]
        stage.forge.tokens[GITHUB_TOKEN] = "read"
        stage.forge.allow("refs")
        kind, body = await stage.final(session, 2)
        assert kind == "response"
        assert body.startswith("⚠️ I kept trying to hand in the work, and now it is refused. **Not pushed.** My token")
        assert KEPT in body
        stage.forge.tokens[GITHUB_TOKEN] = "write"
        stage.agent.plays("try again", Say(text="Again."))
        stage.people.follow_up(session, "try again")
        assert "**Pull request:**" in (await stage.final(session, 3))[1]


@pytest.mark.deep
async def test_a_base_branch_that_is_gone_is_named(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        shop = stage.forge.repositories["acme/shop"]
        tip = shop.tip("main")
        held = stage.forge.hold("pulls.open")
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.until(held.reached.is_set, "the pull request")
        shop.git("update-ref", "-d", "refs/heads/main")
        held.release()
        _, body = await stage.final(session)
        assert "the branch that it is for, `main`, is not on acme/shop any more" in body
        shop.git("update-ref", "refs/heads/main", str(tip))
        stage.agent.plays("try again", Say(text="Again."))
        stage.people.follow_up(session, "try again")
        assert "**Pull request:**" in (await stage.final(session, 2))[1]


@pytest.mark.deep
async def test_a_closed_pull_request_is_followed_by_another_of_the_same_branch(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session, _ = await finished(stage)
        shop = stage.forge.repositories["acme/shop"]
        shop.pulls[0]["state"] = "closed"
        stage.agent.plays("and more", Use(tool="bash", args={"command": "wait more"}), Say(text="More."))
        stage.people.follow_up(session, "and more")
        await stage.until_shown(session, "action", "wait more")
        writes(stage.workspace(session), "more.py")
        commits(stage.workspace(session), "Add more")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        assert [pull["state"] for pull in shop.pulls] == ["closed", "open"]
        assert f"**Pull request:** {shop.pulls[1]['html_url']}" in body
        assert shop.pulls[0]["head"]["ref"] == shop.pulls[1]["head"]["ref"]


@pytest.mark.deep
async def test_commits_of_others_on_our_branch_after_our_push_are_not_overwritten(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session, _ = await finished(stage)
        shop = stage.forge.repositories["acme/shop"]
        branch = shop.pulls[0]["head"]["ref"]
        theirs = shop.git("commit-tree", f"{branch}^{{tree}}", "-p", branch, "-m", "Bob's own")
        shop.git("update-ref", f"refs/heads/{branch}", theirs)
        stage.agent.plays("and more", Use(tool="bash", args={"command": "wait more"}), Say(text="More."))
        stage.people.follow_up(session, "and more")
        await stage.until_shown(session, "action", "wait more")
        writes(stage.workspace(session), "more.py")
        commits(stage.workspace(session), "Add more")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        assert f"Somebody else has pushed to `{branch}`" in body
        assert KEPT in body
        assert shop.tip(branch) == theirs


@pytest.mark.deep
async def test_an_app_pushes_and_opens_with_tokens_of_its_installation(make_stage: MakeStage, tmp_path: Path) -> None:
    app = {"GITHUB_TOKEN": "", "GITHUB_APP_ID": "42", "GITHUB_APP_PRIVATE_KEY_FILE": str(a_key(tmp_path))}
    async with make_stage(forge=True, settings=app) as stage:
        stage.forge.apps["42"] = "write"
        stage.forge.granted_until = "2020-01-01T00:00:00Z"  # each is at its end, so another is fetched
        _, body = await finished(stage)
        assert "**Pull request:**" in body
        assert GITHUB_TOKEN not in "".join(stage.forge.seen)
        granted = [token for token in stage.forge.tokens if token.startswith("ghs_")]
        assert len(granted) > 1
        assert [file for token in granted for file in files_with(stage.folder / "data", token)] == []


async def test_an_apps_key_that_cannot_be_read_is_told_as_such(make_stage: MakeStage, tmp_path: Path) -> None:
    key = a_key(tmp_path)
    app = {"GITHUB_TOKEN": "", "GITHUB_APP_ID": "42", "GITHUB_APP_PRIVATE_KEY_FILE": str(key)}
    async with make_stage(forge=True, settings=app) as stage:
        stage.forge.apps["42"] = "write"
        stage.forge.granted_until = "2020-01-01T00:00:00Z"
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        key.write_text("none")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert "must renew `GITHUB_TOKEN`, the GitHub App's key or" in body
        assert KEPT in body


async def test_an_answer_that_was_lost_does_not_make_a_second_pull_request(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        held = stage.forge.hold("pulls.open", after=True)
        stage.forge.refuse("pulls.update", 500, "Oops", times=1)
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.until(held.reached.is_set, "the request")
        held.cut()
        _, body = await stage.final(session)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        assert pull["html_url"] in body


async def test_the_base_branch_is_never_pushed_to(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        folder = stage.workspace(session)
        before = stage.forge.repositories["acme/shop"].tip("main")
        git(folder, "checkout", "--quiet", "-b", "main")
        writes(folder)
        commits(folder)
        stage.agent.release("work")
        _, body = await stage.final(session)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        assert pull["head"]["ref"] != "main"
        assert pull["html_url"] in body
        assert stage.forge.repositories["acme/shop"].tip("main") == before


@pytest.mark.deep
async def test_the_answer_comes_though_the_hand_over_hangs(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, session={"ship_s": 2.0}) as stage:
        held = stage.forge.hold("push")
        session, body = await finished(stage)
        assert "took too long" in body or "has taken too long" in body
        held.release()
        await stage.until(lambda: stage.forge.repositories["acme/shop"].pulls, "the pull request", 60.0)
        await stage.until(lambda: len(stage.links(session)) == 1, "its link")


async def test_an_unfinished_rebase_is_left_alone_and_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        folder = stage.workspace(session)
        writes(folder)
        commits(folder)
        (folder / ".git" / "MERGE_HEAD").write_text(git(folder, "rev-parse", "HEAD"), encoding="utf-8")
        writes(folder, "half.py")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert "Not committed: 1 file, because the agent left a merge unfinished." in body
        assert len(stage.prompts(session)) == 1


async def test_a_workspace_without_its_git_is_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        (stage.workspace(session) / ".git").rename(stage.workspace(session) / "moved")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert body.startswith("Done: add() is there.")
        assert "I could not read the workspace, so nothing was pushed" in body

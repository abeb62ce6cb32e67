"""One issue from delegation to the merged pull request, with the real OpenCode, as people read it in Linear and on GitHub.

What was read is written down, in its order, as `transcript.md` in the test's folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman.sim.forge import Forge
from dragoman.sim.forge_repository import Json
from dragoman.sim.records import AgentSession
from dragoman.sim.sample import ISSUE_DESCRIPTION, ISSUE_TITLE
from dragoman.sim.script import Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import LiveService, git
from tests.live.test_forge import TOKEN, on_forge

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.needs_bubblewrap, pytest.mark.timeout(300)]

SECRET = "canary-github-hook"
LOG = "$ python3 -m flake8 stats.py\nstats.py:6:1: W293 blank line contains whitespace\nError: Process completed with exit code 1.\n"


class Transcript:
    """What people read so far."""

    def __init__(self, service: LiveService, session: AgentSession) -> None:
        self.lines: list[str] = []
        self._service = service
        self._session = session
        self._seen: set[str] = set()

    def linear(self) -> None:
        """What is new in the session in Linear; what has vanished since is left out."""
        for row in self._service.rows(self._session):
            if row.id in self._seen or row.ephemeral:
                continue
            self._seen.add(row.id)
            body = row.content.get("body") or f"{row.content['action']} `{row.content['parameter']}`"
            self.note(f"Linear · {row.kind}", body)

    def github(self, who: str, body: str) -> None:
        """What somebody did or wrote on GitHub."""
        self.note(f"GitHub · {who}", body)

    def note(self, head: str, body: str) -> None:
        """One more thing; what fits a line stands on it."""
        plain = re.sub(r"\[story=\w+\] ?|<!--.*?-->\n?", "", body).strip()  # the scripted model's cue, marks of ours
        if "\n" in plain:
            self.lines += [f"- **{head}**", *(f"  > {line}".rstrip() for line in plain.splitlines() if line.strip())]
        else:
            self.lines.append(f"- **{head}**{f': {plain}' if plain else ''}")


def script(service: LiveService) -> None:
    """What the model does when it is told of the review, and of the red check."""
    document = 'sed -i \'s/"""Return the arithmetic mean of `values`."""/"""Return the mean of `values`; 0.0 of nothing."""\\n    /\' stats.py && git commit -qam \'Say what the mean of nothing is\''
    words = "The docstring says it now.\n\nReply to 1: See the reply beside the line.\nReply to 2: Right: it says “0.0 of nothing” now."
    service.linear.model.tell("document", [bash(document, "Document the empty list")], [Say(text=words)])
    mend = "sed -i 's/[ ]*$//' stats.py && git commit -qam 'Take out trailing blanks'"
    service.linear.model.tell(
        "mend", [bash(mend, "Take out the blanks")], [Say(text="The blank line is clean. All checks pass.")]
    )


async def test_from_delegation_to_merge(serving: Serving, tmp_path: Path) -> None:
    forge = Forge(tmp_path / "forge", {TOKEN: "write"})
    async with serving(linear={"forge": forge}, start=False) as service:
        on_forge(service, forge)
        service.environment["GITHUB_WEBHOOK_SECRET"] = forge.reviews.hook_secret = SECRET
        forge.reviews.hook_url = f"{service.url}/webhooks/github"
        with (service.folder / "dragoman.toml").open("a", encoding="utf-8") as toml:
            toml.write("\n[session]\nreview_settle_s = 0.5\n")
        script(service)
        await service.start()
        people, shop = forge.reviews, forge.repositories["acme/sample"]
        people.rights["rita"] = "write"

        issue = service.linear.people.create_issue(ISSUE_TITLE, ISSUE_DESCRIPTION)
        session = service.linear.people.delegate(issue.id)
        told = Transcript(service, session)
        await service.shows(session, "elicitation", "What should average([]) do?")
        service.linear.people.answer(session.id, "Return 0.0")
        first = await service.ends(session)
        told.linear()
        [pull] = shop.pulls
        assert f"**Pull request:** {pull['html_url']}" in first.body
        assert "⚠️" not in first.body
        told.github(
            f"{people.us} opens {pull['head']['ref']} → {pull['base']['ref']}", f"# {pull['title']}\n{pull['body']}"
        )

        lines = (("stats.py", 5, "What does it give for an empty list? Say so here."),)
        review = people.review(shop, 1, "rita", "[story=document] Nearly.", lines=lines)
        told.github("rita requests changes", review["body"])
        told.github("rita on `stats.py:5`", lines[0][2])
        await people.deliver()
        second = await service.ends(session, turns=2)
        told.linear()
        talk = people.talk(shop, 1)
        await service.becomes(lambda: talk.comments[1:] and talk.beside)
        _replies(told, people.us, talk.beside, talk.comments[1:])
        assert "Say what the mean of nothing is" in second.body
        assert "0.0 of nothing” now" in talk.comments[1]["body"]

        people.check(shop, 1, "lint", "failure", LOG, summary="[story=mend] 1 problem")
        told.github("the check “lint” is red", LOG.strip())
        await people.deliver()
        third = await service.ends(session, turns=3)
        told.linear()
        assert "Take out trailing blanks" in third.body
        people.check(shop, 1, "lint", "success")
        await people.deliver()
        told.github("the check “lint” is green", "")

        workspace = service.workspace(session)
        (workspace / "notes.txt").write_text("left here")
        people.close(shop, 1, "rita")
        told.github("rita merges the pull request", "")
        await people.deliver()
        last = await service.ends(session, turns=4)
        told.linear()
        assert last.body == "The pull request was merged by rita. My work on this is done."
        await service.becomes(lambda: not workspace.exists())
        assert "0.0 of nothing" in shop.git("show", "main:stats.py")
        rescued = _rescued(service.data)
        assert "notes.txt" in rescued
        links = [one.url for one in service.linear.world.session(session.id).links]
        told.note("Afterwards", f"links in Linear: {', '.join(links)}; workspace removed, rescued first: {rescued}")
        (tmp_path / "transcript.md").write_text("\n".join(told.lines), "utf-8")


def _replies(told: Transcript, us: str, *talks: list[Json]) -> None:
    for comment in (one for talk in talks for one in talk):
        told.github(f"{us} replies{' on `stats.py:5`' if comment.get('path') else ''}", comment["body"])


def _rescued(data: Path) -> str:
    """The files of what was saved before the workspace was removed."""
    [trusted] = (data / "repositories").glob("*.git")
    refs = git(trusted, "for-each-ref", "--format=%(refname)", "refs/dragoman/rescue").split()
    return ", ".join(
        sorted({name for ref in refs for name in git(trusted, "ls-tree", "-r", "--name-only", ref).splitlines()})
    )

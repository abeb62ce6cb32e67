"""`dragoman demo`: the whole thing without an account. A pretend Linear, the real OpenCode, a scripted or a real model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

import click
import uvloop

from dragoman import config, logs
from dragoman.cli.serve import EX_BROKEN, EX_CONFIG, serve
from dragoman.errors import ConfigurationError
from dragoman.ports import free_port
from dragoman.sim.records import Activity
from dragoman.sim.sample import ISSUE_DESCRIPTION, ISSUE_TITLE, SAMPLE_VERIFY, make_sample
from dragoman.sim.server import Simulator
from dragoman.sim.world import World

CI_ANSWER = "Return 0.0"
CI_DEADLINE_S = 150.0
START_S = 30.0
SCRIPTED_MODEL = "scripted/story"
# OpenCode must not look for its list of models on the network when the model is ours.
_OFFLINE = "OPENCODE_DISABLE_MODELS_FETCH"


@click.command("demo")
@click.option("--ci", is_flag=True, help="Play the default story alone; exit 0 after its final response, else 1.")
@click.option("--model", default="", help="A real model, provider/model, instead of the scripted one.")
@click.option("--story", default="default", show_default=True, help="What the scripted model plays without a tag.")
@click.option("--port", default=0, help="Port of the page; 0 takes a free one.")
@click.option("--verbose", is_flag=True, help="Show the service's log.")
def command(ci: bool, model: str, story: str, port: int, verbose: bool) -> None:
    """Try it: a pretend Linear, the real OpenCode, no account."""
    logs.configure(level="info" if verbose else "error")
    with tempfile.TemporaryDirectory(prefix="dragoman-demo-") as folder:
        sys.exit(uvloop.run(_demo(Path(folder), ci=ci, model=model, story=story, port=port)))


async def _demo(folder: Path, *, ci: bool, model: str, story: str, port: int) -> int:
    repository = make_sample(folder / "sample")
    async with Simulator(port=port, story=story) as linear:
        service_port = free_port("127.0.0.1")
        environment = _environment(folder, linear, repository, model=model, port=service_port)
        try:
            settings = config.load(environment, folder=folder)
        except ConfigurationError as error:
            click.echo("\n".join(error.problems), err=True)
            return EX_BROKEN if ci else EX_CONFIG
        linear.set_webhook_url(f"http://127.0.0.1:{service_port}/webhooks/linear")
        linear.people.create_issue(ISSUE_TITLE, description=ISSUE_DESCRIPTION)
        ended = asyncio.Event()
        serving = asyncio.create_task(serve(settings, ended=ended, keep_opencode=False))
        try:
            told = await _told(linear, settings, serving, ci=ci)
        finally:
            ended.set()
            served = await serving
        if told is not None:
            return told
        if ci:
            click.echo("The service ended before the final response.", err=True)
            return EX_BROKEN
        return served


async def _told(linear: Simulator, settings: config.Settings, serving: asyncio.Task[int], *, ci: bool) -> int | None:
    """Have the story told; the exit code, or None when the service ended first."""
    await _listening(settings.port, serving)
    if serving.done():
        return None
    story = asyncio.create_task(_play(linear) if ci else _invite(linear, settings))
    await asyncio.wait({serving, story}, return_when=asyncio.FIRST_COMPLETED)
    if story.done():
        return story.result()
    story.cancel()
    return None


async def _listening(port: int, serving: asyncio.Task[int]) -> None:
    """Wait until the service takes webhooks; one that is refused would be sent again only after a minute."""
    async with asyncio.timeout(START_S):
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def _environment(folder: Path, linear: Simulator, repository: Path, *, model: str, port: int) -> Mapping[str, str]:
    """What an operator would set, for this one."""
    opencode = folder / "opencode.json"
    opencode.write_text(json.dumps(_opencode_config(linear, scripted=not model)), encoding="utf-8")
    passed = [name for name in os.environ if name.endswith("_API_KEY")] if model else [_OFFLINE]
    if not model:
        os.environ[_OFFLINE] = "1"
    toml = folder / "dragoman.toml"
    toml.write_text(
        f'[[repositories]]\nname = "demo/sample"\nurl = {json.dumps(str(repository))}\ndefault = true\n'
        f"verify = {json.dumps([SAMPLE_VERIFY])}\nverify_red = true\n\n"
        f"[opencode]\npass_env = {json.dumps(passed)}\n",
        encoding="utf-8",
    )
    kept = {name: os.environ[name] for name in ("OPENCODE_BIN", "PATH", "DRAGOMAN_SANDBOX") if name in os.environ}
    return {
        **kept,
        "LINEAR_API_URL": linear.url,
        "LINEAR_ACCESS_TOKEN": linear.access_token,
        "LINEAR_WEBHOOK_SECRET": linear.secret,
        "OPENCODE_MODEL": model or SCRIPTED_MODEL,
        "OPENCODE_CONFIG": str(opencode),
        "DRAGOMAN_CONFIG": str(toml),
        "DRAGOMAN_DATA_DIR": str(folder / "data"),
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
    }


def _opencode_config(linear: Simulator, *, scripted: bool) -> dict[str, object]:
    asks: dict[str, object] = {"permission": {"bash": {"*": "allow", "git push*": "ask"}}}
    if not scripted:
        return asks
    provider, _, name = SCRIPTED_MODEL.partition("/")
    return {
        **asks,
        "provider": {
            provider: {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Scripted model",
                "options": {"baseURL": linear.model_url, "apiKey": "none-needed"},
                "models": {name: {"name": "Story", "limit": {"context": 200_000, "output": 8_000}}},
            }
        },
    }


# ── for people ───────────────────────────────────────────────────────────
async def _invite(linear: Simulator, settings: config.Settings) -> int:
    click.echo(f"\n  A pretend Linear:  {linear.url}")
    click.echo("  Open the issue, press “Delegate”, answer the question, write on, press Stop.")
    click.echo("  Other stories: write [story=permission], [story=stop], [story=error], [story=steer] in a mention.")
    click.echo(f"  Health:            http://127.0.0.1:{settings.port}/health")
    click.echo("  Ctrl-C ends everything.\n", nl=True)
    await asyncio.Event().wait()
    return 0


# ── alone ────────────────────────────────────────────────────────────────
async def _play(linear: Simulator) -> int:
    issue = next(iter(linear.world.issues.values()))
    session = linear.people.delegate(issue.identifier)
    click.echo(f"{issue.identifier} “{issue.title}” was delegated.")
    watching = asyncio.create_task(_show(linear, session.id))
    try:
        return await _until_final(linear, session.id)
    except TimeoutError:
        click.echo(f"No final response within {CI_DEADLINE_S:.0f} s.", err=True)
        return 1
    finally:
        watching.cancel()


async def _until_final(linear: Simulator, session: str) -> int:
    answered: set[str] = set()
    async with asyncio.timeout(CI_DEADLINE_S):
        while True:
            newest = await linear.wait_for(lambda world: _asking_or_final(world, session, answered), CI_DEADLINE_S)
            kind = newest.content["type"]
            if kind == "elicitation":
                answered.add(newest.id)
                linear.people.answer(session, CI_ANSWER)
                continue
            if kind == "error":
                click.echo(f"The session failed: {newest.content['body']}", err=True)
                return 1
            click.echo(textwrap.indent(f"\n{newest.content['body']}\n", "  "))
            return _verdict(linear.world, session)


def _verdict(world: World, session: str) -> int:
    """The story is told only when the agent really did the work, and each step of it was visible."""
    shown = world.activities(session)
    kinds = {activity.content["type"] for activity in shown}
    missing = {"thought", "action", "elicitation", "response"} - kinds
    edits = [one for one in shown if one.content.get("action") == "Edited" and "stats.py" in one.content["parameter"]]
    tests = [
        one for one in shown if "unittest" in one.content.get("parameter", "") and "OK" in one.content.get("result", "")
    ]
    problems = [f"no {kind} was shown" for kind in sorted(missing)]
    if not edits:
        problems.append("no edit was shown")
    if not tests:
        problems.append("no passing test run was shown")
    if not world.sessions[session].plan:
        problems.append("no plan was shown")
    if not any("Verified by me" in activity.content.get("body", "") for activity in shown):
        problems.append("no receipt was shown")
    for problem in problems:
        click.echo(f"Not as it should be: {problem}.", err=True)
    click.echo("Done." if not problems else "Failed.")
    return 1 if problems else 0


def _asking_or_final(world: World, session: str, answered: set[str]) -> Activity | None:
    for activity in world.activities(session):
        kind = activity.content["type"]
        if kind in ("response", "error") or (kind == "elicitation" and activity.id not in answered):
            return activity
    return None


async def _show(linear: Simulator, session: str) -> None:
    """Print activities as people would see them come."""
    seen: set[str] = set()

    def fresh(world: World) -> list[Activity]:
        return [activity for activity in world.activities(session) if activity.id not in seen]

    while True:
        for activity in await linear.wait_for(fresh, CI_DEADLINE_S):
            seen.add(activity.id)
            click.echo(f"  {_line(activity)}")


def _line(activity: Activity) -> str:
    """One line of it; the final is printed as it is, with its receipt."""
    content = activity.content
    kind = content["type"]
    if kind == "action":
        return f"{kind:<12}{content['action']} {content['parameter']}"
    body = " ".join(content.get("body", "").split())
    return f"{kind:<12}{body[:140]}"

"""Secrets cannot reach the logs, whichever way they are written."""

import base64
import html
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from markupsafe import escape

from dragoman import logs
from dragoman.errors import DragomanError, GitError, LedgerError, LinearError, OpenCodeError, Refusal

SECRETS = (
    "canary-plain-0123456789",
    'canary "quoted" \\ back/slash',
    "canary+plus/slash=equals&x",
    "canary-ünïcödé-ß",
    "-----BEGIN KEY-----\ncanary\nline-two\n-----END KEY-----\n",
)


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Configured logging, put back afterwards."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    written = io.StringIO()
    logs.configure(level="debug", stream=written)
    logs.keep_secret(SECRETS)
    yield written
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


class FullDisk(io.StringIO):
    """A file on a disk that has no room."""

    room = False

    def write(self, text: str, /) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_breaks_nobody_and_goes_on_when_there_is_room(output: io.StringIO) -> None:
    full = FullDisk()
    logs.configure(level="debug", stream=full)
    logs.get("part").warning("line.lost")
    logging.getLogger("library").error("lost, too")
    full.room = True
    logs.get("part").warning("line.written")
    assert [json.loads(line)["event"] for line in full.getvalue().splitlines()] == ["line.written"]


def forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        json.dumps(json.dumps({"token": secret}))[15:-4],
        html.escape(secret),
        html.escape(secret, quote=False),
        str(escape(secret)),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr(raw)[2:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(b"opencode:" + raw).decode(),
        base64.b64encode(b"x:" + raw + b":y").decode(),
    }


def unmasked(text: str) -> list[str]:
    return [form for secret in SECRETS for form in forms(secret) if form in text]


class Holder:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Holder({self.secret!r})"


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_a_field_is_masked_in_every_form(output: io.StringIO, secret: str) -> None:
    log = logs.get("test")
    for form in sorted(forms(secret)):
        name = form + " in the name"
        log.info(
            name,
            text=f"before {form} after",
            nested={"a": [{form: (form, {form})}]},
            holder=Holder(secret),
        )
    log.info("encoded", body=json.dumps({"token": secret}), twice=json.dumps(json.dumps({"n": 1})), raw=secret.encode())
    assert logs.MASK in output.getvalue()
    assert unmasked(output.getvalue()) == []
    assert "before" in output.getvalue()
    assert "after" in output.getvalue()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_an_exception_is_masked(output: io.StringIO, secret: str) -> None:
    def fail() -> None:
        try:
            raise ValueError(f"refused {secret}")
        except ValueError as error:
            raise RuntimeError(secret, {"token": secret}) from error

    try:
        fail()
    except RuntimeError as error:
        logs.get("test").error("broke", exc_info=True)
        logs.get("test").warning("broke", error=error)
        logging.getLogger("library").exception("went wrong with %s", secret)
    assert unmasked(output.getvalue()) == []
    assert "Traceback" in output.getvalue()


def test_a_library_s_logger_writes_the_same_json_and_no_secret(output: io.StringIO) -> None:
    logging.getLogger("aiohttp.client").error("calling %s with %r", "https://me:pass@host/path", {"key": SECRETS[0]})
    logging.getLogger("asyncio").warning("too quiet to be heard")
    [line] = [json.loads(line) for line in output.getvalue().splitlines()]
    assert line["part"] == "aiohttp.client"
    assert line["level"] == "error"
    assert line["event"] == f"calling https://{logs.MASK}@host/path with {{'key': '{logs.MASK}'}}"


def test_lines_are_json_off_a_terminal(output: io.StringIO) -> None:
    logs.get("engine").info("event.heard", session="s-1", effects=3, live=True, took_s=0.5, nothing=None)
    line = json.loads(output.getvalue())
    assert line.pop("timestamp").endswith("Z")
    expected = {"event": "event.heard", "part": "engine", "session": "s-1", "effects": 3, "live": True, "took_s": 0.5}
    assert line == {**expected, "level": "info", "nothing": None}


def test_lines_are_for_people_on_a_terminal_and_still_scrubbed(output: io.StringIO) -> None:
    logs.configure(stream=output, json=False)
    try:
        raise ValueError(SECRETS[0])
    except ValueError:
        logs.get("engine").error("event.heard", session="s-1", secret=SECRETS[1], exc_info=True)
    written = output.getvalue()
    assert "event.heard" in written
    assert not written.startswith("{")
    assert unmasked(written) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://me:p4ss@host/x",
        "http://token-only@host",
        "redis://:p4ss@host:1",
        "ftp://me:p4@ss@host",
        "git+ssh://me:p4ss@h/x",
    ],
)
def test_credentials_in_urls_are_masked_without_being_known(url: str) -> None:
    shown = logs.masked(f"cloning {url}?a=b now")
    assert "p4" not in shown
    assert "token-only" not in shown
    assert shown.startswith("cloning ")
    assert "host" in shown or "@h/x" in shown


def test_what_is_no_credential_stays() -> None:
    for text in ("write to me@example.com", "https://linear.app/@me", "a b", "see https://x.y/z?u=a@b"):
        assert logs.masked(text) == text


def test_the_level_decides_what_is_logged_and_may_change_while_we_run(output: io.StringIO) -> None:
    log = logs.get("test")
    for level in ("error", "debug", "warning"):
        logs.set_level(level)
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("thing.happened", at=level)
    said = [(line["at"], line["level"]) for line in map(json.loads, output.getvalue().splitlines())]
    assert said == [
        ("error", "error"),
        *(("debug", name) for name in ("debug", "info", "warning", "error")),
        *(("warning", name) for name in ("warning", "error")),
    ]


def test_short_words_are_not_taken_for_secrets(output: io.StringIO) -> None:
    logs.keep_secret(["", "abc"])
    logs.get("test").info("abcdef")
    assert "abcdef" in output.getvalue()


def test_a_crash_of_the_process_shows_no_secret() -> None:
    program = (
        "import threading\nfrom dragoman import logs\nlogs.configure()\nlogs.keep_secret(['canary-plain-0123456789'])\n"
        "def fail(): raise RuntimeError('with canary-plain-0123456789')\n"
        "one = threading.Thread(target=fail); one.start(); one.join()\n"
        "class Ends:\n    def __del__(self): fail()\nEnds()\nfail()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False, env=dict(os.environ)
    )
    assert ended.returncode == 1
    assert "canary-plain" not in ended.stderr
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == [
        "process.crashed",
        "process.faltered",
        "process.crashed",
    ]


def test_a_command_that_breaks_shows_no_secret() -> None:
    program = (
        "import sys\nfrom dragoman import cli, config, logs\nlogs.keep_secret(['canary-plain-0123456789'])\n"
        "def broken(*_, **__): raise RuntimeError('with canary-plain-0123456789')\n"
        "config.examine = broken\nsys.argv = ['dragoman', 'config', 'check']\ncli.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"RuntimeError: with {logs.MASK}\n")
    assert "canary-plain" not in ended.stderr


def test_of_tokens_that_follow_one_another_the_newest_are_masked_and_no_more() -> None:
    logs.keep_secret(["canary-that-stays"])
    for number in range(20):
        logs.keep_token("linear", f"canary-token-{number:03}")
        logs.keep_token("github", f"ghp_canary_{number:03}")
    shown = [logs.masked(f"with canary-token-{number:03} and ghp_canary_{number:03}") for number in range(20)]
    newest = f"with {logs.MASK} and {logs.MASK}"
    assert [text == newest for text in shown] == [False] * (20 - logs.NEWEST_KEPT) + [True] * logs.NEWEST_KEPT
    assert logs.masked("canary-that-stays") == logs.MASK


def test_one_secret_that_begins_another_hides_none_of_it() -> None:
    logs.keep_secret(["hook+canary/AA==", "hook+canary/AA==longer-one"])
    assert logs.masked("hook+canary/AA==longer-one, hook+canary/AA==") == f"{logs.MASK}, {logs.MASK}"


def test_words_of_people_keep_what_is_no_secret_of_ours() -> None:
    logs.keep_secret(["canary-plain-0123456789"])
    said = "git clone ssh://git@host/x.git with canary-plain-0123456789"
    assert logs.without_secrets(said) == f"git clone ssh://git@host/x.git with {logs.MASK}"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("kind", [Refusal, LinearError, OpenCodeError, GitError, LedgerError])
def test_no_error_holds_a_secret_that_another_party_repeats(kind: type[DragomanError], secret: str) -> None:
    logs.keep_secret(SECRETS)
    for form in sorted(forms(secret)):
        error = kind(f"they said: {form} is not known")
        assert unmasked(f"{error} {error!r}") == []
        assert str(error).startswith("they said: ")


def test_a_mask_swallows_nothing_that_stands_between_two_texts() -> None:
    logs.keep_secret(["always"])
    told = {
        "always": ["https://a.example", {"mail": "me@b.example", "url": "https://me:pw@c/x"}],
        "n": 1,
        "said": "always",
    }
    found = json.loads(json.dumps(logs.masked_within(told)))
    kept = ["https://a.example", {"mail": "me@b.example", "url": f"https://{logs.MASK}@c/x"}]
    assert found == {"always": kept, "n": 1, "said": logs.MASK}

"""What is safe one by one and not together: refused when it has no honest use, doubted aloud when it may be meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman import config

CANARY = "canary-5ecr3t-value"
NEEDED = {"LINEAR_ACCESS_TOKEN": "lin_token", "LINEAR_WEBHOOK_SECRET": "a-long-signing-secret"}
TOML = '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dragoman.toml").write_text(TOML)
    tmp_path.chmod(0o755)
    return tmp_path


def examine(folder: Path, **environment: str) -> config.Examined:
    return config.examine({"HOME": str(folder), **NEEDED, **environment}, folder=folder)


def test_what_is_usual_raises_no_doubt(folder: Path) -> None:
    examined = examine(folder)
    assert (examined.problems, examined.settings.doubts) == ((), ())


@pytest.mark.parametrize(
    "environment, says",
    [
        ({"HOST": "0.0.0.0"}, "HOST (the environment) listens to other machines, and PUBLIC_URL names no https address"),
        ({"HOST": "::", "PUBLIC_URL": "http://x.example"}, "HOST (the environment) listens to other machines"),
        ({"PUBLIC_URL": "http://x.example"}, "PUBLIC_URL (the environment) is no https address"),
        ({"LINEAR_WEBHOOK_SECRET": f"{CANARY},short"}, "LINEAR_WEBHOOK_SECRET (the environment) is shorter than 16"),
        ({"OPENCODE_SESSION_API_URL": "http://box:4096"}, "leads to another machine without https: it asks for no password"),
        ({"OPENCODE_SESSION_API_URL": f"http://o:{CANARY}@box:4096"}, "without https: its password travels unencrypted"),
        ({"SESSION_STORAGE_URL": f"redis://:{CANARY}@box"}, "SESSION_STORAGE_URL (the environment) leads to another machine"),
        ({"DRAGOMAN_SANDBOX": "off"}, "DRAGOMAN_SANDBOX (the environment) is off: the agent can read all that this user can"),
        ({"ENABLE_SESSION_PERSISTENCE": "false"}, "is false: sessions are kept in memory; a restart forgets all of them"),
        (
            {"ENABLE_SESSION_PERSISTENCE": "false", "SESSION_STORAGE_URL": "redis://localhost"},
            "is false: sessions are kept in memory, and SESSION_STORAGE_URL not used; a restart forgets all of them",
        ),
        (
            {"SESSION_ALLOWED_USERS": "ada@example.com"},
            "SESSION_ALLOWED_USERS (the environment) is set while SESSION_REQUIRE_AUTH is false: the list holds all the same",
        ),
        ({"SESSION_ALLOWED_TEAMS": "ENG"}, "SESSION_ALLOWED_TEAMS (the environment) is set while SESSION_REQUIRE_AUTH"),
        ({"SESSION_REQUIRE_AUTH": "true"}, "is true with both lists empty: every person of the organization may start"),
    ],
)  # fmt: skip
def test_what_may_be_meant_is_doubted_and_starts_all_the_same(
    folder: Path, environment: dict[str, str], says: str
) -> None:
    examined = examine(folder, **environment)
    assert examined.problems == ()
    assert [doubt for doubt in examined.settings.doubts if says in doubt], examined.settings.doubts
    assert CANARY not in "".join(examined.settings.doubts)


@pytest.mark.parametrize(
    "environment",
    [
        {"HOST": "0.0.0.0", "PUBLIC_URL": "https://x.example"},
        {"HOST": "localhost"},
        {"PUBLIC_URL": "http://127.0.0.1:3000"},
        {"OPENCODE_SESSION_API_URL": "https://box:4096"},
        {"OPENCODE_SESSION_API_URL": "http://localhost:4096"},
        {"SESSION_STORAGE_URL": "rediss://box"},
        {"SESSION_STORAGE_URL": "redis://localhost:6379"},
        {"SESSION_REQUIRE_AUTH": "true", "SESSION_ALLOWED_TEAMS": "ENG"},
        {"DRAGOMAN_SANDBOX": "off", "OPENCODE_SESSION_API_URL": "http://127.0.0.1:4096"},
    ],
)
def test_the_safe_form_of_it_is_not_doubted(folder: Path, environment: dict[str, str]) -> None:
    examined = examine(folder, **environment)
    assert (examined.problems, examined.settings.doubts) == ((), ())


@pytest.mark.parametrize("url", ["/nowhere/shop.git", "nowhere/shop.git", "file:///nowhere/my%20shop.git"])
def test_a_repository_on_this_machine_that_is_not_there_is_doubted(folder: Path, url: str) -> None:
    (folder / "dragoman.toml").write_text(f'[[repositories]]\nname = "acme/shop"\nurl = "{url}"\n')
    [doubt] = examine(folder).settings.doubts
    assert doubt.startswith("[[repositories]] 'acme/shop': there is no folder /")
    assert "%20" not in doubt


@pytest.mark.parametrize("url", ["{}/shop.git", "shop.git", "file://{}/shop.git", "git@host:nowhere/shop.git"])
def test_a_repository_that_is_there_or_elsewhere_is_not_doubted(folder: Path, url: str) -> None:
    (folder / "shop.git").mkdir()
    (folder / "dragoman.toml").write_text(f'[[repositories]]\nname = "acme/shop"\nurl = "{url.format(folder)}"\n')
    assert examine(folder).settings.doubts == ()


def test_a_token_is_not_sent_to_another_machine_unencrypted(folder: Path) -> None:
    [told] = examine(folder, LINEAR_API_URL="http://api.linear.app").problems
    assert told.startswith(
        "LINEAR_API_URL (the environment) sends the access token unencrypted to another machine. Use https"
    )


@pytest.mark.parametrize("name", ["LINEAR_ACCESS_TOKEN", "LINEAR_WEBHOOK_SECRET", "OPENCODE_SESSION_TOKEN"])
def test_a_secret_of_ours_is_not_handed_to_the_agent(folder: Path, name: str) -> None:
    (folder / "dragoman.toml").write_text(f'{TOML}[opencode]\npass_env = ["{name}", "ANTHROPIC_API_KEY"]\n')
    [told] = examine(folder).problems
    assert f"[opencode] pass_env hands {name} to the agent, which must not have it" in told


@pytest.mark.parametrize(
    "name, value",
    [
        ("SESSION_STORAGE_URL", f"redis://:{CANARY}@localhost"),
        ("OPENCODE_SESSION_API_URL", f"http://opencode:{CANARY}@127.0.0.1:4096"),
        ("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {CANARY}"),
    ],
)
def test_a_secret_within_a_setting_of_ours_is_not_handed_to_the_agent_either(
    folder: Path, name: str, value: str
) -> None:
    (folder / "dragoman.toml").write_text(f'{TOML}[opencode]\npass_env = ["{name}"]\n')
    [told] = examine(folder, **{name: value}).problems
    assert f"[opencode] pass_env hands {name} to the agent, which must not have it" in told
    assert CANARY not in told


@pytest.mark.parametrize("content", ["[]", "{", '"x"'])
def test_a_configuration_for_opencode_that_is_none_is_told_with_the_others(folder: Path, content: str) -> None:
    (folder / "o.json").write_text(content)
    told = examine(folder, OPENCODE_CONFIG="o.json", PORT="x").problems
    assert len(told) == 2
    assert f"OPENCODE_CONFIG (the environment) names {folder / 'o.json'}" in "".join(told)


# ── files that hold secrets ──────────────────────────────────────────────
def dotenv(folder: Path) -> Path:
    (folder / ".env").write_text(f"LINEAR_CLIENT_SECRET={CANARY}\n")
    return folder / ".env"


def secret_file(folder: Path) -> Path:
    (folder / "secrets").mkdir(mode=0o755)
    (folder / "secrets" / "LINEAR_CLIENT_SECRET").write_text(CANARY)
    return folder / "secrets" / "LINEAR_CLIENT_SECRET"


def toml(folder: Path) -> Path:
    (folder / "dragoman.toml").write_text(TOML.replace("github", f"me:{CANARY}@github"))
    return folder / "dragoman.toml"


def app_key(folder: Path) -> Path:
    (folder / "app.pem").write_text(CANARY)
    return folder / "app.pem"


def for_opencode(folder: Path) -> Path:
    (folder / "o.json").write_text(f'{{"provider": {{"x": {{"options": {{"apiKey": "{CANARY}"}}}}}}}}')
    return folder / "o.json"


MORE: dict[Callable[[Path], Path], dict[str, str]] = {
    secret_file: {"DRAGOMAN_SECRETS_DIR": "secrets"},
    app_key: {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY_FILE": "app.pem"},
    for_opencode: {"OPENCODE_CONFIG": "o.json"},
}


@pytest.mark.parametrize("make", [dotenv, secret_file, toml, app_key, for_opencode])
@pytest.mark.parametrize("mode, doubted, refused", [(0o600, 0, 0), (0o640, 0, 0), (0o644, 1, 0), (0o602, 0, 1)])
def test_a_file_with_secrets_is_for_us_alone(
    folder: Path, make: Callable[[Path], Path], mode: int, doubted: int, refused: int
) -> None:
    file = make(folder)
    file.chmod(mode)
    examined = examine(folder, **MORE.get(make, {}))
    readable = [
        doubt for doubt in examined.settings.doubts if doubt.startswith(f"{file} holds secrets, and every user")
    ]
    writable = [problem for problem in examined.problems if problem.startswith(f"{file} may be changed by every user")]
    assert (len(readable), len(writable)) == (doubted, refused)
    assert CANARY not in "".join((*examined.problems, *examined.settings.doubts))


def test_a_folder_that_only_we_may_enter_protects_what_is_in_it(folder: Path) -> None:
    dotenv(folder).chmod(0o644)
    folder.chmod(0o700)
    assert examine(folder).settings.doubts == ()


def test_a_file_without_secrets_may_be_read_by_all(folder: Path) -> None:
    (folder / ".env").write_text("PORT=3000\n")
    assert examine(folder).settings.doubts == ()


# ── odd lines and names ──────────────────────────────────────────────────
def test_odd_lines_and_doubled_names_of_dotenv_are_told(folder: Path) -> None:
    (folder / ".env").write_text(f"PORT=1\n\n# note\n{CANARY}\nPORT=2\nA B=3\n")
    examined = examine(folder)
    assert examined.settings.port == 2
    assert examined.settings.doubts == (
        f"{folder / '.env'}:4 is no NAME=value and is passed over",
        f"PORT ({folder / '.env'}:5) stands in {folder / '.env'}:1, too; the last one holds",
        f"{folder / '.env'}:6 is no NAME=value and is passed over",
    )


def test_in_our_own_files_every_unknown_name_of_ours_is_told(folder: Path) -> None:
    (folder / ".env").write_text("OPENCODE_DISABLE_AUTOUPDATE=1\nLINEAR_TEAM=ENG\nOTHER=1\n")
    (folder / "secrets").mkdir(mode=0o700)
    (folder / "secrets" / "LINEAR_WEBHOOK_SECERT").write_text(CANARY)
    told = examine(folder, DRAGOMAN_SECRETS_DIR="secrets").settings.doubts
    assert told == (
        f"LINEAR_TEAM ({folder / '.env'}:2) is no setting of ours",
        f"LINEAR_WEBHOOK_SECERT ({folder}/secrets/LINEAR_WEBHOOK_SECERT) is no setting of ours; did you mean LINEAR_WEBHOOK_SECRET?",
        f"OPENCODE_DISABLE_AUTOUPDATE ({folder / '.env'}:1) is no setting of ours",
    )

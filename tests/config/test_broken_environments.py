"""Ten environments that cannot be used, and what people read about each: `broken_environments.txt`, word for word.

The texts are what `dragoman config check` prints; after changing a sentence on purpose, change it there, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dragoman.cli import main
from dragoman.config import catalogue

TEXTS = Path(__file__).with_name("broken_environments.txt").read_text(encoding="utf-8")
GOOD = {"LINEAR_ACCESS_TOKEN": "lin_oauth_canary", "LINEAR_WEBHOOK_SECRET": "lin_wh_canary_0123"}
TOML = '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\n'
FILE = {"dragoman.toml": TOML}
CASES: dict[str, dict[str, Any]] = {
    "nothing is set": {},
    "an example is copied as it stands": {
        "environment": GOOD,
        "files": {
            **FILE,
            ".env": "# OpenCode\nOPENCODE_SESSION_API_URL=https://api.opencode.dev/sessions\nOPENCODE_SESSION_TOKEN=your_session_token_here\n",
        },
    },
    "comments came along into the environment": {
        "environment": {
            **GOOD,
            "ENABLE_SESSIONS": "true      # Enable/disable sessions",
            "SESSION_TIMEOUT_MINUTES": "30  # minutes",
            "SESSION_ALLOWED_USERS": "   # Allowed user IDs (comma-separated)",
        },
        "files": FILE,
    },
    "names are mistyped": {
        "environment": {
            "LINEAR_ACCESS_TOKEN": "lin_oauth_canary",
            "LINEAR_WEBHOK_SECRET": "lin_wh_canary_0123",
            "LINEAR_API_KEY": "lin_api_canary",
        },
        "files": {
            **FILE,
            ".env": "SESSION_TIMEOUT=30\nENABLE_SESSION_STREAMIN=true\nDRAGOMAN_DATADIR=/var/lib\nSESSION_COLOUR=red\n",
        },
    },
    "values are none": {
        "environment": {**GOOD, "PORT": "70000", "ENABLE_SESSIONS": "maybe", "LOG_LEVEL": "loud"},
        "files": {
            **FILE,
            ".env": "SESSION_TIMEOUT_MINUTES=0\nSESSION_MAX_MESSAGES=fifty\nMAX_CONCURRENT_SESSIONS=-1\nOPENCODE_MODEL=claude\nSESSION_ALLOWED_USERS=Ada Lovelace, Bob\n",
        },
    },
    "addresses are none": {
        "environment": {
            **GOOD,
            "OPENCODE_SESSION_API_URL": "127.0.0.1:4096",
            "LINEAR_API_URL": "http://api.linear.app",
            "PUBLIC_URL": "dragoman.example.com",
            "SESSION_STORAGE_URL": "redis://localhost:port",
            "LEDGER_URL": "redis://:canary@localhost:6379",
            "OPENCODE_BIN": "/nowhere/opencode",
        },
        "files": FILE,
    },
    "there are two ledgers": {
        "environment": GOOD,
        "files": {
            **FILE,
            ".env": "SESSION_STORAGE_URL=sqlite:////var/lib/dragoman/a.db\nLEDGER_URL=sqlite:////var/lib/dragoman/b.db\n",
        },
    },
    "secrets are in the wrong shape and place": {
        "environment": {
            "LINEAR_ACCESS_TOKEN": "lin_oauth canary",
            "LINEAR_WEBHOOK_SECRET": " , ",
            "LINEAR_API_URL": "https://me:canary-pass@api.linear.app",
        },
        "files": {
            "dragoman.toml": TOML + '\n[opencode]\npass_env = ["LINEAR_CLIENT_SECRET"]\n',
            ".env": "LINEAR_CLIENT_SECRET=canary-client-secret\nLINEAR_CLIENT_SECRET=canary-other\ncanary stray line\n",
        },
        "modes": {".env": 0o666},
    },
    "the TOML file is wrong in many places": {
        "environment": GOOD,
        "files": {
            "dragoman.toml": '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\ndefault = true\nbranch = "main"\n\n[[repositories]]\nname = "acme/till"\ndefault = true\n\n[session]\nwhile_busy = "maybe"\nheartbeat = 60\n\n[sesion]\npatience_s = 1\n\n[opencode]\npass_env = "KEY"\n'
        },
    },
    "the secrets folder cannot be used": {
        "environment": {
            "LINEAR_ACCESS_TOKEN": "lin_oauth_canary",
            "DRAGOMAN_SECRETS_DIR": "secrets",
            "CREDENTIALS_DIRECTORY": "/nowhere",
        },
        "files": {
            **FILE,
            "dragoman.toml": "[[repositories]\n",
            "secrets/LINEAR_WEBHOOK_SECRET": "lin_wh_canary # the new one\n",
            "secrets/LINEAR_CLIENT_SECERT": "canary",
        },
    },
}


def expected(name: str, folder: Path) -> str:
    section = TEXTS.partition(f"## {name}\n")[2].partition("\n## ")[0]
    return section.strip().replace("{folder}", str(folder))


@pytest.mark.parametrize("name", CASES)
def test_everything_that_is_wrong_is_told_at_once_and_word_for_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    ours = ("SESSION_", "DRAGOMAN_", "LINEAR_", "OPENCODE_", "ENABLE_", "CREDENTIALS_")
    for known in [*catalogue.ALL, *(each for each in os.environ if each.startswith(ours))]:
        monkeypatch.delenv(known, raising=False)
    for variable, value in case.get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    for file, text in case.get("files", {}).items():
        (tmp_path / file).parent.mkdir(mode=0o755, exist_ok=True)
        (tmp_path / file).write_text(text)
        (tmp_path / file).chmod(case.get("modes", {}).get(file, 0o600))
    checked = CliRunner().invoke(main, ["config", "check"], catch_exceptions=False)
    assert checked.exit_code == 78
    assert checked.stdout.strip() == expected(name, tmp_path)
    assert "canary" not in checked.stdout + checked.stderr

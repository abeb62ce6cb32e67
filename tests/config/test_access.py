"""Who may do what, as an operator writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman import config
from dragoman.core.access import Policy, Who
from dragoman.core.pace import Paces
from dragoman.errors import ConfigurationError

REPOSITORY = '[[repositories]]\nname = "a/b"\nurl = "https://host/x.git"\n'


def loaded(folder: Path, toml: str = "", **environment: str) -> config.Settings:
    (folder / "dragoman.toml").write_text(REPOSITORY + toml, encoding="utf-8")
    needed = {"LINEAR_WEBHOOK_SECRET": "a-secret", "LINEAR_ACCESS_TOKEN": "a-token"}
    return config.load({**needed, "HOME": str(folder), **environment}, folder=folder)


def test_by_default_everybody_may_and_a_flood_is_limited(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert settings.policy == Policy()
    assert settings.paces == Paces(person=60, organization=600)


def test_all_that_is_set_comes_together(tmp_path: Path) -> None:
    toml = """[access]
start = [{ teams = ["ENG"] }]
approve = [{ users = ["ann@example.com"] }, { users = [" ben "], teams = ["OPS"] }]
stop = []
"""
    settings = loaded(
        tmp_path,
        toml,
        SESSION_REQUIRE_AUTH="true",
        SESSION_ALLOWED_USERS="ann@example.com, ben",
        SESSION_ALLOWED_TEAMS="ENG,OPS",
        SESSION_MAX_PER_USER_MINUTE="5",
        SESSION_MAX_PER_ORGANIZATION_MINUTE="0",
    )
    assert settings.policy == Policy(
        require_person=True,
        users=("ann@example.com", "ben"),
        teams=("ENG", "OPS"),
        start=(Who(teams=("ENG",)),),
        approve=(Who(users=("ann@example.com",)), Who(users=("ben",), teams=("OPS",))),
        stop=(),
    )
    assert settings.paces == Paces(person=5, organization=0)


@pytest.mark.parametrize(
    "toml, told",
    [
        ("[access]\nstarts = []", "dragoman.toml:5: [access] 'starts' is no setting; did you mean 'start'?"),
        ('[access]\nstart = ["ann"]', "dragoman.toml:5: [access] start must be a list of tables"),
        ("[access]\nstart = [{}]", "dragoman.toml:5: [access] start: an entry names neither users nor teams"),
        ("[access]\nstart = [{ users = [] }]", "dragoman.toml:5: [access] start: `users` must be a list of names"),
        ('[access]\nstart = [{ user = ["ann"] }]', "[access] start: 'user' is no setting; did you mean 'users'?"),
        ('access = "everybody"', "[access] must be a table"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_an_example(tmp_path: Path, toml: str, told: str) -> None:
    top = toml if not toml.startswith("[") else ""
    (tmp_path / "dragoman.toml").write_text(f"{top}\n{REPOSITORY}".lstrip("\n") + ("" if top else toml))
    with pytest.raises(ConfigurationError) as raised:
        config.load({"LINEAR_WEBHOOK_SECRET": "s3cret-a", "LINEAR_ACCESS_TOKEN": "t"}, folder=tmp_path)
    assert told in str(raised.value)
    assert "Example:" in str(raised.value) or "did you mean" in str(raised.value)


@pytest.mark.parametrize("name", ["SESSION_ALLOWED_USERS", "SESSION_ALLOWED_TEAMS"])
def test_a_list_without_names_does_not_let_everybody_in(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} .* holds commas and no name"):
        loaded(tmp_path, **{name: " , "})

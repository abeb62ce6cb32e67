"""`[[triggers]]` and `[[templates]]`: read whole, and each mistake told with line and suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman import config
from dragoman.core.choosing import Handling, PermissionRule, Template, Trigger
from dragoman.errors import ConfigurationError

NEEDED = {"LINEAR_ACCESS_TOKEN": "lin_token", "LINEAR_WEBHOOK_SECRET": "signing-secret", "LINEAR_AGENT_NAME": "Bot"}
REPOSITORY = '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\n'  # three lines
TEMPLATE = (
    '[[templates]]\nname = "bugfix"\ntext = "For {issue.key}: a failing test first."\nplan_first = true\n'  # four
)


def read(folder: Path, tables: str) -> Handling:
    (folder / "dragoman.toml").write_text(REPOSITORY + TEMPLATE + tables)
    return config.load({"HOME": str(folder), **NEEDED}, folder=folder).rules.handling


def test_all_of_a_trigger_and_a_template_is_read(tmp_path: Path) -> None:
    handling = read(
        tmp_path,
        """
        [[triggers]]
        name = "bugs"
        words = ["crash", "error"]
        regex = 'v\\d+'
        label = "bug"
        team = ["ENG", "OPS"]
        project = "Parser"
        state = "Triage"
        creator = "ann@example.com"
        on = ["mention", "follow-up"]
        mode = "session"
        template = "Bugfix"
        repository = "acme/shop"
        agent = "build"
        model = "acme/large"
        permissions = { bash = "ask", edit = { "docs/*" = "allow", "*" = "deny" } }
        priority = "high"
        [[triggers]]
        priority = "low"
        """,
    )
    first, second = handling.triggers
    assert first == Trigger(
        name="bugs",
        words=("crash", "error"),
        regex=r"v\d+",
        label=("bug",),
        team=("ENG", "OPS"),
        project=("Parser",),
        state=("Triage",),
        creator=("ann@example.com",),
        on=("mention", "follow_up"),
        mode="session",
        template="bugfix",
        repository="acme/shop",
        agent="build",
        model="acme/large",
        permissions=(
            PermissionRule(permission="bash", action="ask"),
            PermissionRule(permission="edit", pattern="docs/*", action="allow"),
            PermissionRule(permission="edit", pattern="*", action="deny"),
        ),
        priority=2,
    )
    assert second == Trigger(name="trigger 2", priority=4)
    assert handling.templates == (
        Template(name="bugfix", text="For {issue.key}: a failing test first.", plan_first=True),
    )
    assert handling.names == ("Bot",)


@pytest.mark.parametrize(
    "tables, line, said",
    [
        ('[[triggers]]\nlabels = "bug"\nmode = "session"\n', 9, "'labels' is no setting; did you mean 'label'?"),
        ('[[triggers]]\nlabel = "bug"\nmode = "sesion"\n', 10, "did you mean 'session'?"),
        ('[[triggers]]\nmode = "session"\ntemplate = "bugfux"\n', 10, "did you mean 'bugfix'?"),
        ('[[triggers]]\nrepository = "acme/shp"\n', 9, "did you mean 'acme/shop'?"),
        ('[[triggers]]\nmode = "session"\nregex = "("\n', 10, "regex cannot be read"),
        ('[[triggers]]\nmode = "session"\nregex = "(a+)+$"\n', 10, "regex repeats what repeats"),
        ('[[triggers]]\nmodel = "large"\n', 9, "must be provider/model"),
        ('[[triggers]]\npriority = "hihg"\n', 9, "did you mean 'high'?"),
        ('[[triggers]]\nlabel = "bug"\n', 8, "says nothing of what follows"),
        ('[[triggers]]\non = "mentions"\nmode = "session"\n', 9, "mention, delegation, follow-up"),
        ('[[triggers]]\non = "delegation"\nmode = "simple"\n', 10, "a delegation always begins a session"),
        ('[[triggers]]\nwords = 3\nmode = "session"\n', 9, "a text or a list of texts"),
        ('[[triggers]]\npermissions = { bash = "maybe" }\n', 9, "allow, ask or deny"),
        ('[[templates]]\nname = "x"\ntext = "{issue.titel}"\n', 10, "did you mean 'issue.title'?"),
        ('[[templates]]\nname = "Bugfix"\n', 9, "is used twice"),
        ('[[templates]]\ntext = "x"\n', 8, "has no name"),
        ('[[templates]]\nname = "x"\nplan_first = "yes"\n', 10, "true or false"),
        ('[triggers]\nmode = "session"\n', 8, "must be written [[triggers]]"),
    ],
)
def test_each_mistake_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, tables: str, line: int, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, tables)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/dragoman.toml:{line}: ")
    assert said in problem

"""What is decided when a request is taken up: session or simple answer, and with what. Values only.

`triggers` decides, from what is known (`Facts`) and from what an operator configured (`Handling`). The outcome (`Choice`)
is kept in the session, with the reasons (`Reason`), so that `dragoman why` can tell them later.
"""

from __future__ import annotations

from typing import Literal

from dragoman.core.events.linear import Person
from dragoman.record import Record

Mode = Literal["session", "simple"]
Profile = Literal["work", "answer", "plan"]
PRIORITIES = ("", "urgent", "high", "medium", "low")  # Linear's, by number; 0 is none
Way = Literal["mention", "delegation", "follow_up"]


class PermissionRule(Record):
    """One rule for OpenCode; of several that match, the last counts.

    permission  "bash", "edit", "webfetch", … or the name of a tool
    pattern     what it is about, with * and ?
    """

    permission: str
    action: Literal["allow", "ask", "deny"]
    pattern: str = "*"


class Trigger(Record):
    """`[[triggers]]`: when all of its conditions hold, what it says follows. The first that fits counts.

    name         for traces; "trigger 2" when the operator gave none
    words        any of these, as whole words, in any case
    regex        found in the request, in any case; None = not asked
    label, team, project, state, creator
                 any of these, in any case: label names; team keys or ids; project names; names or types of the issue's
                 state; ids, e-mails or names of whoever asked
    on           how the request came; empty = in any way
    mode         what follows; None leaves it to the words of the request
    template, repository, agent, model, permissions, priority
                 what the session is begun with; empty or 0 leaves it to others
    """

    name: str = ""
    words: tuple[str, ...] = ()
    regex: str | None = None
    label: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    creator: tuple[str, ...] = ()
    on: tuple[Way, ...] = ()
    mode: Mode | None = None
    template: str = ""
    repository: str = ""
    agent: str = ""
    model: str = ""
    permissions: tuple[PermissionRule, ...] = ()
    priority: int = 0


class Template(Record):
    """`[[templates]]`: how one kind of work is done.

    name        what people and triggers call it
    text        what the agent is told besides the request; `{issue.title}` and the like are filled in
    agent       of OpenCode; empty = another's choice
    model       "provider/model"; empty = another's choice
    plan_first  the agent plans, people approve, then it builds
    """

    name: str
    text: str = ""
    agent: str = ""
    model: str = ""
    plan_first: bool = False


class Handling(Record):
    """What an operator configured about all this.

    names  what people call the agent: no trigger word hides in its name
    """

    triggers: tuple[Trigger, ...] = ()
    templates: tuple[Template, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def needs_issue(self) -> bool:
        """Whether session or simple answer may depend on what only the issue tells: labels, project, state."""
        return any(one.mode is not None and (one.label or one.project or one.state) for one in self.triggers)


class Facts(Record):
    """What is known of a request when it is taken up.

    words       the person's own, verbatim
    labels      names; those of a group also as "group:name"
    state       name of the issue's state, `state_type` its kind
    known_issue whether labels, project and state were read from Linear
    """

    words: str
    on: Way
    creator: Person | None = None
    issue_key: str = ""
    issue_title: str = ""
    issue_description: str = ""
    issue_url: str = ""
    team_key: str = ""
    team_id: str = ""
    project: str = ""
    state: str = ""
    state_type: str = ""
    labels: tuple[str, ...] = ()
    known_issue: bool = False


class Reason(Record):
    """One line of the trace: of `what`, `chosen` was taken, `because`."""

    what: str
    chosen: str
    because: str


class Choice(Record):
    """What was decided; kept in the session.

    template      name, empty for none; `instructions` is its text with the fields filled in
    repository    that the request or a trigger named; empty = the routing of repositories decides
    agent, model  empty = the service's own settings
    priority      in the queue for a place, 1 urgent … 4 low; 0 = the issue's
    stage         of a session that plans first: it plans, waits for people's approval, was approved. Empty for others
    plan          the newest plan, while it waits for approval and while it is built; `planned_at` when it was shown,
                  seconds since the epoch
    trace         why
    """

    mode: Mode = "session"
    template: str = ""
    instructions: str = ""
    repository: str = ""
    agent: str = ""
    model: str = ""
    permissions: tuple[PermissionRule, ...] = ()
    priority: int = 0
    stage: Literal["", "planning", "planned", "approved"] = ""
    plan: str = ""
    planned_at: float = 0.0
    trace: tuple[Reason, ...] = ()

    @property
    def profile(self) -> Profile:
        """What the agent may do: work, only answer, only plan."""
        if self.mode == "simple":
            return "answer"
        return "plan" if self.stage in {"planning", "planned"} else "work"


# What may look may do so; everything else is denied, tools of plugins and MCP servers included.
_LOOKING = ("read", "grep", "glob", "list", "lsp", "skill", "webfetch", "websearch", "codesearch", "question")
_SECRET_FILES = ("*.env", "*.env.*")  # OpenCode would ask for these; a rule for everything must not open them
_WRITING = ("bash", "edit", "write", "patch", "multiedit", "task", "external_directory")


def rules_of(choice: Choice) -> tuple[PermissionRule, ...]:
    """The permission rules of an agent thread: what a trigger gave; where nothing may be written, denials come last.

    OpenCode's own `plan` agent is no substitute: its shell writes.
    """
    if choice.profile == "work":
        return choice.permissions
    return (
        PermissionRule(permission="*", action="deny"),
        *(PermissionRule(permission=name, action="allow") for name in _LOOKING),
        *(PermissionRule(permission="read", pattern=files, action="deny") for files in _SECRET_FILES),
        *choice.permissions,
        *(PermissionRule(permission=name, action="deny") for name in _WRITING),
    )

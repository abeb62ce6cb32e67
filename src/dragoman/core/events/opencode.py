"""From OpenCode: what the agent does, what it waits for, and how its run ends."""

from __future__ import annotations

from typing import Literal

from dragoman.ids import AgentThread, AskId, MessageId, PartId, RunId
from dragoman.record import Record


class Todo(Record):
    """One line of the agent's plan, as the agent wrote it; status pending, in_progress, completed or cancelled."""

    content: str
    status: str


class Question(Record):
    """One question of an ask. `options` are (label, description) pairs; free text is always allowed."""

    text: str
    header: str = ""
    options: tuple[tuple[str, str], ...] = ()
    multiple: bool = False


class Tool(Record):
    """A tool call, as OpenCode reports it.

    name      "bash", "edit", "read", "task", …
    input     the arguments, JSON text (bounded)
    title     OpenCode's short title, may be empty
    output    what it returned, bounded; empty while it runs
    diff      unified diff of an edit, when OpenCode gave one
    """

    name: str
    input: str
    title: str = ""
    output: str = ""
    diff: str = ""


class Usage(Record):
    """What a run used: tokens as counted by the provider, cost in US dollars as computed by OpenCode.

    model  "provider/model" that answered last; empty when OpenCode did not say
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    model: str = ""


class Answered(Record):
    """The agent's last words; may be empty when it ended without any."""

    text: str
    message: MessageId | None = None
    usage: Usage = Usage()


# Why the model's provider, or OpenCode itself, did not do what was asked.
Cause = Literal[
    "timeout", "network", "credentials", "not_found", "rate_limit", "server", "context", "model", "cut_off", "other"
]


class Broke(Record):
    """The model's provider or OpenCode failed. `cause` is a stable word, `message` what they said."""

    cause: Cause
    message: str
    text: str = ""  # what the agent had said so far


class Declined(Record):
    """The run ended because a person rejected a permission or dismissed a question."""

    text: str = ""


class Aborted(Record):
    """Somebody aborted the run, or it ended without saying anything."""

    text: str = ""


Outcome = Answered | Broke | Declined | Aborted


class Reasoned(Record):
    """A finished piece of reasoning."""

    run: RunId
    part: PartId
    text: str


class Said(Record):
    """Finished text after which the agent went on: a thought. The last words come with RunSettled."""

    run: RunId
    part: PartId
    text: str


class ToolStarted(Record):
    run: RunId
    part: PartId
    tool: Tool


class ToolFinished(Record):
    """`failed`: the tool returned an error, which is a result like any other and no error of the session."""

    run: RunId
    part: PartId
    tool: Tool
    failed: bool = False


class TodosChanged(Record):
    run: RunId
    todos: tuple[Todo, ...]


class PermissionAsked(Record):
    """OpenCode waits for leave. `subject` is what it wants to do (a command, a path), `always` what "always" covers."""

    run: RunId
    ask: AskId
    thread: AgentThread  # the child's when a sub-agent asks
    permission: str
    subject: str
    always: tuple[str, ...] = ()


class QuestionAsked(Record):
    """OpenCode waits for an answer to one or several questions."""

    run: RunId
    ask: AskId
    thread: AgentThread
    questions: tuple[Question, ...]


class AskGone(Record):
    """An ask was answered elsewhere, or is no longer pending."""

    run: RunId
    ask: AskId


class RunRetrying(Record):
    """OpenCode tries the provider again. `attempt` from 1; `since_s` seconds since the first retry of this series.

    cause  read from the message, since OpenCode tells no status here
    """

    run: RunId
    attempt: int
    message: str
    since_s: float = 0.0
    cause: Cause = "other"


class Compacted(Record):
    """The conversation was summarised to fit the model. `key` tells one compaction from the next."""

    run: RunId
    key: str


class RunInterrupted(Record):
    """OpenCode was cut in the middle: idle, and the last answer never completed.

    tools   whether a tool had been started: then its side effects may be half done
    after   how many attempts had been made when it was seen, so that the same cut is not told twice
    newest  the last of our messages in the thread; one sent since is still on its way. None when that is not known
    """

    run: RunId
    tools: bool
    after: int
    newest: MessageId | None = None


class RunStalled(Record):
    """Nothing has changed for `minutes`, though OpenCode says it is busy and nothing was asked."""

    run: RunId
    minutes: int


class RunSettled(Record):
    """The run is over. `newest` is the last of our messages in the thread: one sent since makes this stale."""

    run: RunId
    newest: MessageId
    outcome: Outcome


AskRaised = PermissionAsked | QuestionAsked
AgentEvent = (
    Reasoned
    | Said
    | ToolStarted
    | ToolFinished
    | TodosChanged
    | PermissionAsked
    | QuestionAsked
    | AskGone
    | RunRetrying
    | Compacted
    | RunInterrupted
    | RunStalled
    | RunSettled
)

"""A line of the journal in words: of every event there is, whatever people wrote in it."""

from hypothesis import given, settings

from dragoman.cli.journal import plain, tell
from dragoman.core.events import Event
from dragoman.core.events.linear import StopRequested
from dragoman.core.events.opencode import (
    Answered,
    PermissionAsked,
    Question,
    QuestionAsked,
    RunSettled,
    Todo,
    TodosChanged,
    Tool,
    ToolFinished,
)
from dragoman.ids import AgentThread, AskId, MessageId, PartId
from dragoman.ledger.codec import encode_for_journal
from dragoman.ledger.read import JournalLine
from tests.builders import a_person, a_run, records


def line_of(event: Event) -> JournalLine:
    return JournalLine(n=1, at=0.0, kind=type(event).__name__, body=encode_for_journal(event))


@settings(max_examples=300, deadline=None)
@given(records(Event))
def test_every_event_is_told_in_one_printable_line(event: Event) -> None:
    told = tell(line_of(event)).what
    assert told == plain(told)
    assert told.isprintable()


def test_what_matters_is_told() -> None:
    run = a_run(turn=3)
    tool = Tool(name="bash", input='{"command": "npm test"}', output="12 passed\n")
    todos = (Todo(content="look", status="completed"), Todo(content="fix", status="pending"))
    ask, thread = AskId("per_1"), AgentThread("ses_1")
    expected: list[tuple[Event, str]] = [
        (ToolFinished(run=run, part=PartId("p"), tool=tool), 'bash · {"command": "npm test"} · 12 passed'),
        (TodosChanged(run=run, todos=todos), "1 of 2 done"),
        (PermissionAsked(run=run, permission="bash", subject="git push", ask=ask, thread=thread), "bash · git push"),
        (
            QuestionAsked(run=run, questions=(Question(text="Which?"), Question(text="When?")), ask=ask, thread=thread),
            "Which? / When?",
        ),
        (RunSettled(run=run, newest=MessageId("m"), outcome=Answered(text="Fixed\nit.")), "Answered · Fixed it."),
        (StopRequested(sent_at=0.0, by=a_person("Bob")), "Bob"),
    ]
    for event, words in expected:
        assert tell(line_of(event)).what == words
    assert tell(line_of(expected[0][0])).turn == 3
    assert tell(line_of(expected[-1][0])).turn is None


def test_a_line_that_is_broken_is_told_all_the_same() -> None:
    for body in (
        "",
        "not json",
        "[]",
        '{"v":1}',
        '{"v":1,"value":[]}',
        '{"v":1,"value":{"run":7,"tool":"x","todos":3}}',
    ):
        for kind in ("ToolFinished", "TodosChanged", "QuestionAsked", "Unheard"):
            assert tell(JournalLine(n=1, at=0.0, kind=kind, body=body)).what.isprintable(), (kind, body)

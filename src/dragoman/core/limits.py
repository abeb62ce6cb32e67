"""How long and how often, in one place."""

from __future__ import annotations

from typing import Literal

from dragoman.core.choosing import Handling
from dragoman.core.routing import Routing
from dragoman.record import Record

# A timer may come a little early: the clocks of two processes differ, and a reminder is no promise to the millisecond.
NEARLY = 0.99

# Linear's clock and ours are not farther apart than this.
CLOCKS_APART_S = 60.0

# So many failed turns in a row, and the session's status is "error".
FAILED_TURNS = 3


class Rules(Record):
    """What an operator may tune of a session's life. Seconds unless the name says otherwise.

    heartbeat_s     silence of a live turn after which people hear that it still runs (Linear: stale after 30 min)
    patience_s      how long a run waits for OpenCode before it gives up honestly
    permission_s    how long a permission waits for a person before it is rejected with a message
    reminder_s      after how long an unanswered question is put again
    plan_s          least time between two plans sent
    stop_s          when a stop is confirmed even if it could not be verified (people expect it within 5 s)
    retry_attempts  provider retries after which the run is given up
    retry_s         how long a provider's retries may last before the run is given up
    ship_s          how long the end of a turn may take to commit, push, verify and open a pull request; then people get
                    their answer without waiting for it
    outbox_files    files that an answer shows of what the agent put into .dragoman/outbox/; 0 = none are sent to Linear
    outbox_mb       the largest of them, in megabytes of 1,000,000 bytes
    checkpoint_s    how often the workspace of a live turn is saved, beside the end of each turn
    max_fix_rounds  turns that reviews, red checks and conflicts may begin before a person has to write
    review_poll_s   how often an open pull request is looked at without webhooks; less often while nothing happens
    review_settle_s  how long to wait after the first news of a pull request, so that one review is one prompt
    gather_s        how long changes of the issue are gathered before a live run is told of them
    resumes         how often an interrupted run is set going again
    while_busy      what a message during a run does by default
    retention_days  how long messages, journals and the log of deliveries are kept, in days; 0 = for ever
    queue_s         least time between two words about the place in the queue
    streaming       show each step; false = the first thought of a turn, questions and the final alone
    timeout_s       rest without a message or agent activity after which a session is over
    max_messages    messages after which the conversation goes on in a fresh agent thread; 0 = never
    sessions        whether there are sessions; without them everything is answered simply, delegations too
    handling          triggers and templates; stands in tables of its own, not under [session]
    respect_blockers  work on an issue begins only when what blocks it is done; stands under [issue]
    tell_edits        the agent is told what people change on the issue while it works; stands under [issue]
    in_review         an issue with a pull request moves to its team's review state; stands under [issue]
    routing           which repository; stands in [[repositories]] and [routing]
    """

    heartbeat_s: float = 600.0
    patience_s: float = 600.0
    permission_s: float = 900.0
    reminder_s: float = 86_400.0
    plan_s: float = 2.0
    stop_s: float = 4.5
    retry_attempts: int = 5
    retry_s: float = 180.0
    ship_s: float = 1_200.0
    outbox_files: int = 10
    outbox_mb: float = 10.0
    checkpoint_s: float = 300.0
    max_fix_rounds: int = 3
    review_poll_s: float = 60.0
    review_settle_s: float = 20.0
    gather_s: float = 20.0
    resumes: int = 4
    while_busy: Literal["steer", "queue"] = "steer"
    retention_days: int = 365
    queue_s: float = 300.0
    streaming: bool = True
    timeout_s: float = 1_800.0
    max_messages: int = 50
    sessions: bool = True
    handling: Handling = Handling()
    respect_blockers: bool = False
    tell_edits: bool = True
    in_review: bool = False
    routing: Routing = Routing()

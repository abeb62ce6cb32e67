"""How sessions live, and who may begin them."""

from __future__ import annotations

from typing import Final

from dragoman.config import values
from dragoman.config.catalogue.setting import Setting, always, number, switch

A_YEAR: Final = 525_600  # minutes
ENABLE_SESSIONS = switch(
    "ENABLE_SESSIONS",
    "Sessions",
    "Open sessions; false: simple answers only, to delegations too",
    default="true",
    live=True,
)
SESSION_TIMEOUT_MINUTES = number(
    "SESSION_TIMEOUT_MINUTES",
    "Sessions",
    "Without a message or agent activity for this long, and with no ask open, a session ends as `timeout`",
    default=30,
    unit="minutes",
    most=A_YEAR,
    live=True,
)
SESSION_MAX_MESSAGES = number(
    "SESSION_MAX_MESSAGES",
    "Sessions",
    "After this many messages a session goes on in a fresh agent thread that starts from a summary",
    default=50,
    unit="messages",
    live=True,
)
SESSION_CLEANUP_INTERVAL_MINUTES = number(
    "SESSION_CLEANUP_INTERVAL_MINUTES",
    "Sessions",
    "How often expired sessions are looked for",
    default=5,
    unit="minutes",
    most=A_YEAR,
    live=True,
)
MAX_CONCURRENT_SESSIONS = number(
    "MAX_CONCURRENT_SESSIONS",
    "Sessions",
    "Live runs at a time; the others wait and are told so. OpenCode needs about 0.5 GB and some MB a run",
    default=100,
    unit="runs",
    live=True,
)
SESSION_MAX_PER_ISSUE_HOUR = number(
    "SESSION_MAX_PER_ISSUE_HOUR",
    "Sessions",
    "Sessions of one issue within an hour, against loops; 0 = no cap",
    default=20,
    unit="sessions an hour",
    least=0,
    meaning=" (no cap)",
    live=True,
    fields=("max_per_issue_hour",),
)
SESSION_CACHE_SIZE = number(
    "SESSION_CACHE_SIZE",
    "Sessions",
    "Decoded sessions kept in memory; 0 = none",
    default=1000,
    unit="sessions",
    least=0,
    meaning=" (none)",
)
ENABLE_SESSION_STREAMING = switch(
    "ENABLE_SESSION_STREAMING",
    "Sessions",
    "Show each step in Linear; false: the first thought and the final answer only",
    default="true",
    live=True,
)
ENABLE_SESSION_MANAGEMENT = switch(
    "ENABLE_SESSION_MANAGEMENT",
    "Sessions",
    "Let sessions be controlled by HTTP and command line; false: they can be looked at only",
    default="true",
)
SESSION_MAX_PER_USER_MINUTE = number(
    "SESSION_MAX_PER_USER_MINUTE",
    "Access",
    "Messages of one person within a minute; Stop does not count; 0 = no limit",
    default=60,
    unit="messages a minute",
    least=0,
    meaning=" (no limit)",
    live=True,
    fields=("paces",),
)
SESSION_MAX_PER_ORGANIZATION_MINUTE = number(
    "SESSION_MAX_PER_ORGANIZATION_MINUTE",
    "Access",
    "Messages of a whole organization within a minute; 0 = no limit",
    default=600,
    unit="messages a minute",
    least=0,
    meaning=" (no limit)",
    live=True,
    fields=("paces",),
)
SESSION_REQUIRE_AUTH = switch(
    "SESSION_REQUIRE_AUTH",
    "Access",
    "Refuse what comes from no identified person, such as an automation or another agent",
    default="false",
    live=True,
)
SESSION_ALLOWED_USERS = Setting(
    name="SESSION_ALLOWED_USERS",
    group="Access",
    about="Who may do anything at all: user ids or e-mails, separated by commas",
    live=True,
    kind="list",
    parser=always(values.names("user ids or e-mails")),
    absent="everybody",
    example="ada@example.com, 6f1c2a50-0000-4000-8000-000000000001",
)
SESSION_ALLOWED_TEAMS = Setting(
    name="SESSION_ALLOWED_TEAMS",
    group="Access",
    about="On issues of which teams: team ids or keys, separated by commas",
    live=True,
    kind="list",
    parser=always(values.names("team ids or keys")),
    absent="all",
    example="ENG, OPS",
)

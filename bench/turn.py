"""The cost of a turn: CPU time of `core.step` and the ledger, when commits are grouped, without HTTP around it.

What is heard: a mention that opens a session (the largest turn there is: a session, its journal, its message, three
effects, two dedupe keys and the delivery's line), and a tool's end inside a run (the most frequent one).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from bench.deliveries import Body, opened
from bench.figures import median, table, verdict
from bench.servers import folder
from dragoman import logs
from dragoman.core.activities import Action
from dragoman.core.effects import StartRun
from dragoman.core.events import RunStarted, ToolEnded
from dragoman.core.limits import Rules
from dragoman.core.session import Session
from dragoman.core.step import step
from dragoman.ids import AgentThread, HostId, OrganizationId, run_id
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.turns import Delivery
from dragoman.linear import inbound
from dragoman.runtime.engine import Engine

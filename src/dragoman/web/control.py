"""`/api/v1/sessions`: operators list, look at, complete and reactivate sessions, and stop their turns. JSON, behind the key.

GET  /api/v1/sessions?status=active&issue=ENG-1&limit=50   {"sessions": [summary, …]}, newest first
GET  /api/v1/sessions/ID                                   what the ledger knows of it
POST /api/v1/sessions/ID/complete {"reason": "…"}          200, or 202 while its turn is being ended
POST /api/v1/sessions/ID/reactivate
POST /api/v1/sessions/ID/stop

Times are seconds since the epoch; an error is {"error": sentence}.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, get_args
from urllib.parse import parse_qsl

import msgspec

from dragoman import logs
from dragoman.core.session import Session, live_turn
from dragoman.core.status import Status, status
from dragoman.errors import LedgerError
from dragoman.ids import SessionId
from dragoman.ledger import read as look
from dragoman.ledger.control import Command
from dragoman.ledger.tx import Tx
from dragoman.record import Record
from dragoman.runtime.service import Service
from dragoman.web.asgi import Receive, Scope, Send, send_json
from dragoman.web.body import BodyTooLarge, BodyTooSlow, Disconnected, read_body

PATH = "/api/v1/sessions"
BODY_MOST = 64 * 1024  # bytes
BODY_S = 5.0
LEDGER_S = 5.0
MOST = 1_000  # sessions in one list
UNMANAGED = "ENABLE_SESSION_MANAGEMENT is false: sessions can be looked at and not changed. Set it to true and restart."


class _Refused(Exception):
    """Answered with a status and a sentence, and perhaps with the methods that would do."""

    def __init__(self, status_: int, error: str, allow: bytes = b"") -> None:
        super().__init__(error)
        self.status = status_
        self.headers = [(b"allow", allow)] if allow else []


class _Body(Record, tag=False, forbid_unknown_fields=True):
    """Of a command. `reason` is kept in the conversation of a session that is completed."""

    reason: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


class SessionControl:
    """Answers for one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose key was looked at."""
        try:
            status_, told = await self._answer(scope, receive)
        except Disconnected:
            return
        except _Refused as refused:
            await send_json(send, refused.status, {"error": logs.masked(str(refused))}, headers=refused.headers)
            return
        except (LedgerError, TimeoutError) as error:
            what = logs.masked(str(error)) or f"no answer within {LEDGER_S:g} s"
            await send_json(send, 503, {"error": f"The ledger: {what}. Look whether it was done before you repeat it."})
            return
        # What people wrote may hold a secret of ours.
        await send_json(send, status_, logs.masked_within(msgspec.to_builtins(told)))

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        id_, _, command = scope["path"].removeprefix(PATH).lstrip("/").partition("/")
        if command in get_args(Command):
            _only(scope, "POST")
            return await self._command(SessionId(id_), command, scope, receive)
        if command:
            raise _Refused(404, f"There is nothing here. A session can be told: {', '.join(get_args(Command))}.")
        _only(scope, "GET")
        return 200, await (self._session(SessionId(id_)) if id_ else self._list(scope))

    async def _list(self, scope: Scope) -> Any:
        asked = _query(scope)
        async with asyncio.timeout(LEDGER_S):
            found = await self._service.ledger.read(_sessions, asked)
        return {"sessions": found}

    async def _session(self, id_: SessionId) -> Any:
        async with asyncio.timeout(LEDGER_S):
            details = await self._service.ledger.read(look.details, id_)
        if details is None:
            raise _unknown(id_)
        return look.as_json(details)

    async def _command(self, id_: SessionId, command: Command, scope: Scope, receive: Receive) -> tuple[int, Any]:
        if not self._service.settings.enable_session_management:
            self._service.metrics.closed.labels("management_off").inc()
            raise _Refused(403, UNMANAGED)
        given = await _body(scope, receive)
        if given.reason and command != "complete":
            raise _Refused(400, "Only `complete` takes a reason.")
        async with asyncio.timeout(LEDGER_S):
            answer = await self._service.engine.ask(id_, command, reason=given.reason)
        if answer is None:
            raise _unknown(id_)
        if answer.outcome is None or answer.outcome.session is None:
            raise _Refused(409, answer.refused)
        session = answer.outcome.session
        # A turn is ended with a word to people first.
        pending = command != "reactivate" and live_turn(session) is not None
        return 202 if pending else 200, _stands(session)


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise _Refused(405, f"{method} only", method.encode())


def _unknown(id_: SessionId) -> _Refused:
    return _Refused(404, f"No session has the id {id_[:100]!r}.")


class _Query(Record, tag=False, forbid_unknown_fields=True):
    """Of a list."""

    status: Status | None = None
    issue: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 50


def _query(scope: Scope) -> _Query:
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        return msgspec.convert(dict(pairs), _Query, strict=False)
    except msgspec.ValidationError as error:
        filters = f"status ({', '.join(get_args(Status))}), issue (ENG-1), limit (1 to {MOST})"
        raise _Refused(400, f"{error}. There are: {filters}.") from error


def _sessions(tx: Tx, asked: _Query) -> list[look.Summary]:
    return look.sessions(
        tx, status=asked.status, issue_key=asked.issue.upper() if asked.issue else None, limit=asked.limit
    )


async def _body(scope: Scope, receive: Receive) -> _Body:
    try:
        body = await read_body(scope["headers"], receive, BODY_S, most=BODY_MOST)
    except BodyTooLarge:
        raise _Refused(413, f"The body is larger than {BODY_MOST // 1024} KiB.") from None
    except BodyTooSlow:
        raise _Refused(408, "The body did not come in time.") from None
    if not body.strip():
        return _Body()
    try:
        return msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError as error:
        raise _Refused(400, f'The body must be JSON like {{"reason": "shipped"}} or empty: {error}') from error


def _stands(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "issue_key": session.issue.key if session.issue else None,
        "status": status(session),
        "phase": type(session.phase).__name__,
        "live": live_turn(session) is not None,
    }

"""RedisStore: looks at the projection and changes it. A change is written whole or not at all, and only onto what was seen.

How far the projection has come is kept beside it, in Redis, and goes with it: a Redis that was flushed knows nothing, one
that came back from an older snapshot, or a replica that was promoted too early, says how far back it is. Whoever writes
watches that mark from before the ledger is read until the change is in. When somebody else moved it, or it vanished
meanwhile, nothing is written, and the writer looks again; so several writers of one ledger do not undo one another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

from dragoman import logs
from dragoman.errors import ProjectionError, Refusal
from dragoman.ids import SessionId
from dragoman.projection.layout import (
    ABOUT,
    FORMAT,
    INDEX,
    PREFIX,
    STATS,
    WRITER,
    Entry,
    fields,
    line,
    messages_key,
    session_key,
)
from dragoman.record import Record

CONNECT_S = 3.0
ANSWER_S = 5.0
WRITER_S = 60  # so long after its last sign a writer is taken for gone
_OF_A_CLUSTER = ("MOVED", "CROSSSLOT", "same slot", "cluster is down")  # as servers, and the client, word it
PAGE = 500  # keys, ids at a time

State = Literal["rebuilding", "complete"]


class Found(Record):
    """What the projection says of itself.

    ledger  the id of the ledger that it is a copy of
    cursor  how far it has come, in the ledger's own terms
    state   "rebuilding" until every session was written once
    """

    ledger: str
    cursor: str
    state: State


class Change(Record):
    """What is to be written.

    gone     sessions that are no more; removed before `entries` are written
    stats    how many sessions have which status; None = as before
    about    what the projection says of itself from then on
    as_of    when the ledger stood so, as readers get it
    """

    about: Found
    entries: tuple[Entry, ...] = ()
    gone: tuple[SessionId, ...] = ()
    stats: Mapping[str, int] | None = None
    as_of: str = ""


Decide = Callable[[Found | None], Awaitable[Change | None]]


class RedisStore:
    """One Redis or Valkey. Opening it connects to nothing yet.

    url     redis:// or rediss://; the password in it is never logged
    Raises  Refusal when the client library is missing or the URL cannot be used
    """

    def __init__(self, url: str, *, connect_s: float = CONNECT_S, answer_s: float = ANSWER_S) -> None:
        try:
            from redis import asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError, WatchError
        except ImportError as error:
            raise Refusal(
                "SESSION_STORAGE_URL names a Redis, and its client is not installed: pip install 'dragoman[redis]'."
            ) from error
        self._trouble: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        self._overtaken = WatchError
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                protocol=2,  # enough, and the oldest servers and proxies speak it
                socket_connect_timeout=connect_s,
                socket_timeout=answer_s,
                # Whoever writes tries again by itself, with what the ledger holds by then.
                retry=Retry(NoBackoff(), 0),
                client_name="dragoman",
            )
        except (ValueError, TypeError) as error:
            raise Refusal(f"SESSION_STORAGE_URL is no address of a Redis: {logs.masked(str(error))}") from error

    async def look(self) -> Found | None:
        """What the projection says of itself; None when it is not there, or in a form that this program does not write.

        Raises  ProjectionError, as everything else here does, when Redis refuses or does not answer
        """
        async with self._asking():
            return _found(await self._redis.hgetall(ABOUT))

    async def writer(self) -> str | None:
        """The id of the ledger that was copied here within the last WRITER_S seconds."""
        async with self._asking():
            found = await self._redis.get(WRITER)
        return None if found is None else str(found)

    async def change(self, decide: Decide) -> bool | None:
        """Ask `decide` what follows from what is found, and write that whole.

        Returns True when it was written, None when there was nothing to write, False when somebody else changed the
        projection meanwhile: then nothing was written, and it is time to look again.
        """
        async with self._asking(), self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(ABOUT)
            change = await decide(_found(await pipe.hgetall(ABOUT)))
            if change is None:
                return None
            pipe.multi()
            _queue(pipe, change)
            try:
                await pipe.execute()
            except self._overtaken:
                return False
            return True

    async def wipe(self) -> None:
        """Remove every key of ours, what the projection says of itself first."""
        async with self._asking():
            await self._redis.unlink(ABOUT)
            found: list[str] = []
            async for key in self._redis.scan_iter(match=f"{PREFIX}*", count=PAGE):
                found.append(key)
                if len(found) == PAGE:
                    await self._redis.unlink(*found)
                    found.clear()
            if found:
                await self._redis.unlink(*found)

    async def indexed(self) -> AsyncIterator[list[SessionId]]:
        """The ids in the index, page by page; one may come twice."""
        position: int | None = None
        while position != 0:
            async with self._asking():
                position, page = await self._redis.zscan(INDEX, cursor=position or 0, count=PAGE)
            yield [SessionId(id_) for id_, _ in page]

    async def close(self) -> None:
        """Let the connections go."""
        async with self._asking():
            await self._redis.aclose()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            yield
        except self._trouble as error:
            raise ProjectionError(_told(str(error) or type(error).__name__)) from error


def _told(words: str) -> str:
    if any(word in words for word in _OF_A_CLUSTER):
        return (
            "this is a node of a Redis Cluster; the copy is written to a single server, since one change goes over "
            f"several slots. Name one in SESSION_STORAGE_URL ({logs.masked(words)})"
        )
    return f"Redis refused or did not answer: {logs.masked(words)}"


def _queue(pipe: Any, change: Change) -> None:
    for session in change.gone:
        pipe.unlink(session_key(session), messages_key(session))
        pipe.zrem(INDEX, session)
    for entry in change.entries:
        _queue_entry(pipe, entry)
    if change.stats is not None:
        pipe.hset(STATS, mapping=dict(change.stats))
    about = change.about
    told = {"format": FORMAT, "ledger": about.ledger, "cursor": about.cursor, "state": about.state}
    pipe.hset(ABOUT, mapping={**told, "current_at": change.as_of} if change.as_of else told)
    pipe.set(WRITER, about.ledger, ex=WRITER_S)


def _queue_entry(pipe: Any, entry: Entry) -> None:
    row = entry.row
    own, lines = session_key(row.id), messages_key(row.id)
    pipe.hset(own, mapping=fields(row))
    if entry.first is None:
        pipe.unlink(lines)
    else:
        pipe.zremrangebyscore(lines, "-inf", f"({entry.first}")
        pipe.zremrangebyscore(lines, f"({entry.after}", "+inf" if entry.upto is None else entry.upto)
        if entry.lines:
            pipe.zadd(lines, {line(one): one.n for one in entry.lines})
    pipe.zadd(INDEX, {row.id: row.updated_at})
    for key in (own, lines):
        if entry.expires_at is None:
            pipe.persist(key)
        else:
            pipe.pexpireat(key, int(entry.expires_at * 1_000))


def _found(about: Mapping[str, str]) -> Found | None:
    if about.get("format") != FORMAT or "ledger" not in about:
        return None
    state: State = "complete" if about.get("state") == "complete" else "rebuilding"
    return Found(ledger=about["ledger"], cursor=about.get("cursor", ""), state=state)

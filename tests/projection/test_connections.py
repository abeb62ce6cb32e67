"""What stands between us and Redis: TLS, a server that says nothing, a cluster, and readers side by side."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from dragoman.errors import ProjectionError
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ports import free_port
from dragoman.projection.store import RedisStore
from dragoman.runtime.engine import Engine
from tests.conftest import CHECKOUT, Missing, found_or_skipped
from tests.projection.conftest import StartProjector, forget, in_ledger, mention, speak, until_equal
from tests.projection.valkey import Valkey
from tests.runtime.waiting import until


@cache
def find_openssl() -> Path:
    found = shutil.which("openssl")
    if found is None:
        raise Missing("no openssl: sudo apt-get install -y openssl")
    return Path(found)


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server for TLS on this machine needs, and the certificate by which it is known."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = [str(find_openssl()), "req", "-x509", *made, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS in front of a port, since the server of the wheel speaks none; the port of that."""

    async def pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                to.write(data)
                await to.drain()
        except OSError:
            pass
        finally:
            to.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, to), pass_on(behind, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()  # without waiting: a client that goes on is stopped later


async def test_tls_works_and_the_certificate_is_checked(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey, tmp_path: Path
) -> None:
    found_or_skipped(find_openssl)
    context, certificate = certified(tmp_path)
    async with tls_before(valkey.port, context) as port:
        unknown = RedisStore(f"rediss://127.0.0.1:{port}/0")
        with pytest.raises(ProjectionError, match=r"(?i)certificate"):
            await unknown.look()
        await unknown.close()
        await speak(ledger, "s1", "over TLS")
        projector = start(url=f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")
        await until_equal(ledger, valkey)
        await until(lambda: projector.state() == "current")


async def test_a_user_with_the_documented_rights_can_do_all_that_is_needed(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    page = (CHECKOUT / "docs/how-to/redis.md").read_text(encoding="utf-8")
    (rights,) = [line.split() for line in page.splitlines() if line.startswith("dragoman on ")]
    await valkey.reader.execute_command("ACL", "SETUSER", *rights)
    projector = start(url=valkey.url.replace("//", "//dragoman:PASSWORD@"), retention_days=1)
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    await until_equal(ledger, valkey)
    await forget(ledger, "s1")
    await valkey.reader.zadd("dragoman:sessions", {"nobody": 1.0})
    projector.sweep_soon()
    await until_equal(ledger, valkey)
    await valkey.reader.flushdb()
    await until_equal(ledger, valkey)
    assert projector.trouble() == ""


async def test_a_server_that_says_nothing_holds_nobody_up(
    start: StartProjector, ledger: SqliteLedger, engine: Engine
) -> None:
    silent: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        projector = start(url=f"redis://127.0.0.1:{port}/0", answer_s=0.2)
        await until(lambda: silent)
        await asyncio.gather(*(mention(engine, f"s{number}") for number in range(20)))
        await until(projector.trouble)
        assert "did not answer" in projector.trouble()
        assert len(await in_ledger(ledger)) == 20
        for writer in silent:
            writer.close()


async def test_a_node_of_a_cluster_is_told_as_what_it_is(
    valkey_server: Path, tmp_path: Path, start: StartProjector, ledger: SqliteLedger
) -> None:
    # Its bus would take its port plus 10,000, which may be the near end of anybody's connection.
    how = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    node = Valkey(valkey_server, tmp_path, *how, "--cluster-config-file", str(tmp_path / "nodes"))
    await node.start()
    try:
        await node.reader.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await speak(ledger, "s1", "one")
        await speak(ledger, "s2", "two")
        projector = start(url=node.url)
        await until(lambda: "a node of a Redis Cluster" in projector.trouble())
        assert "single server" in projector.trouble()
    finally:
        await node.close()


async def test_two_readers_never_see_a_change_by_halves(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "s1", "the first")
    start()
    await until_equal(ledger, valkey)
    over = asyncio.Event()

    async def read() -> int:
        looks = 0
        while not over.is_set():
            async with valkey.reader.pipeline(transaction=True) as pipe:
                pipe.hget("dragoman:{s1}:session", "turns")
                pipe.zcard("dragoman:{s1}:messages")
                turns, lines = await pipe.execute()
            assert int(turns) == lines  # each turn of this story adds one line
            looks += 1
        return looks

    readers = [asyncio.create_task(read()) for _ in range(2)]
    for number in range(100):
        await speak(ledger, "s1", f"line {number}")
    await until_equal(ledger, valkey)
    over.set()
    assert all([await reader > 0 for reader in readers])
    assert len(await valkey.texts("s1")) == 101

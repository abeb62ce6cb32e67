"""`dragoman serve`."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click
import uvloop

from dragoman import config, logs
from dragoman.errors import ConfigurationError, Refusal, Theirs
from dragoman.runtime.service import Service
from dragoman.web.app import Door
from dragoman.web.asgi import HttpServer

EX_BROKEN = 1  # starting again may help
LAST_S = 9.0  # after a signal we are gone by then, whatever hangs: a thread, a disk; nothing is lost, see _signalled
EX_CONFIG = 78  # sysexits.h: the settings are wrong; starting again will not help
FILES_MOST = 65_536  # open files and connections; what a system calls unlimited is too many to count through
_log = logs.get("serve")


@click.command("serve")
def command() -> None:
    """Run the service. Settings come from the environment, .env and the file that DRAGOMAN_CONFIG names.

    Exit codes: 0 stopped by a signal, 1 broken (start it again), 78 the settings cannot be used.
    """
    try:
        settings = config.load()
    except ConfigurationError as error:
        click.echo(_problems(error), err=True)
        sys.exit(EX_CONFIG)
    logs.configure(level=settings.log_level)
    sys.exit(uvloop.run(serve(settings, load=config.load)))


async def serve(
    settings: config.Settings,
    *,
    ended: asyncio.Event | None = None,
    keep_opencode: bool = True,
    load: Callable[[], config.Settings] | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `ended`; the exit code.

    load  what SIGHUP reads the settings again with; without it SIGHUP ends the service: its terminal was closed
    """
    stop = ended or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _signalled, stop)
    _allow_many_files()
    service = Service(settings, keep_opencode=keep_opencode, load=load)
    loop.add_signal_handler(signal.SIGHUP, service.live.reload if load is not None else partial(_hung_up, stop))
    try:
        await service.start()
    except (ConfigurationError, Refusal) as error:
        click.echo(f"dragoman cannot start: {error}", err=True)
        return EX_CONFIG
    except Theirs as error:
        click.echo(f"dragoman cannot start now: {error}", err=True)
        return EX_BROKEN
    try:
        server = HttpServer(Door(service), host=settings.host, port=settings.port)
        await server.start()
    except OSError as error:
        click.echo(f"dragoman cannot listen on {settings.host}:{settings.port}: {error}. Set HOST and PORT.", err=True)
        await service.stop()
        return EX_CONFIG
    _spare_the_collector()
    _log.info("listening", url=server.url, webhook=f"{settings.public_url or server.url}/webhooks/linear")
    code = await _until_stopped(service, server, stop)
    for trouble in await asyncio.gather(server.stop(), service.wind_down(), return_exceptions=True):
        if isinstance(trouble, BaseException):
            _log.error("stop.broke", error=repr(trouble), exc_info=trouble)
    await service.close()
    return code


def _allow_many_files() -> None:
    """The usual 1,024 are for programs that wait with select(); we may have more runs and connections than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_MOST if hard == resource.RLIM_INFINITY else min(hard, FILES_MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # some systems have a lower limit that they do not tell here
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _spare_the_collector() -> None:
    """Look for garbage in cycles less often, and never among what was made at the start: a seventh of all work (measured)."""
    gc.set_threshold(20_000, 20, 20)
    gc.collect()
    gc.freeze()


def _signalled(stop: asyncio.Event) -> None:
    """The first signal stops in order; the second ends at once, which loses nothing either: all is on disk."""
    if stop.is_set():
        os._exit(EX_BROKEN)
    stop.set()
    last = threading.Timer(LAST_S, os._exit, (EX_BROKEN,))
    last.daemon = True  # what ends in order does not wait for it
    last.start()


def _hung_up(stop: asyncio.Event) -> None:
    """A closed terminal tells it twice, by its shell and by the kernel; the second time is no hurry."""
    if not stop.is_set():
        _signalled(stop)


async def _until_stopped(service: Service, server: HttpServer, stop: asyncio.Event) -> int:
    if service.fatal is None:
        raise RuntimeError("the service was not started")
    waiting = asyncio.create_task(stop.wait())
    service.fatal.add_done_callback(lambda _: stop.set())
    server.lost.add_done_callback(lambda _: stop.set())
    await waiting
    if service.fatal.done():
        error = service.fatal.result()
        if isinstance(error, Refusal):
            click.echo(f"dragoman refuses to run: {error}", err=True)
            return EX_CONFIG
        click.echo("Something broke on our side; the log has the details.", err=True)
        return EX_BROKEN
    if server.lost.done():
        _log.error("server.lost", url=server.url, error=repr(server.lost.result()))
        click.echo("The web server ended by itself; the log has the details.", err=True)
        return EX_BROKEN
    _log.info("stopping")
    return 0


def _problems(error: ConfigurationError) -> str:
    lines = "\n".join(f"  - {problem}" for problem in error.problems)
    return f"dragoman cannot start: {len(error.problems)} setting(s) need attention\n{lines}"

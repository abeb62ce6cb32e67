"""`dragoman serve`."""

from __future__ import annotations

import asyncio
import signal
import sys

import click
import uvloop

from dragoman import config, logs
from dragoman.errors import ConfigurationError, Refusal
from dragoman.runtime.service import Service
from dragoman.web.app import Door
from dragoman.web.asgi import HttpServer

EX_CONFIG = 78  # sysexits.h: the settings are wrong; starting again will not help
_log = logs.get("serve")


@click.command("serve")
def command() -> None:
    """Run the service. Settings come from the environment, .env and the file that DRAGOMAN_CONFIG names.

    Exit codes: 0 stopped by a signal, 78 the settings cannot be used.
    """
    try:
        settings = config.load()
    except ConfigurationError as error:
        click.echo(_problems(error), err=True)
        sys.exit(EX_CONFIG)
    logs.configure(level=settings.log_level)
    sys.exit(uvloop.run(serve(settings)))


async def serve(settings: config.Settings, *, ended: asyncio.Event | None = None, keep_opencode: bool = True) -> int:
    """Serve until SIGTERM, SIGINT or `ended`; the exit code."""
    stop = ended or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = Service(settings, keep_opencode=keep_opencode)
    try:
        await service.start()
    except (ConfigurationError, Refusal) as error:
        click.echo(f"dragoman cannot start: {error}", err=True)
        return EX_CONFIG
    server = HttpServer(Door(service), host=settings.host, port=settings.port)
    try:
        await server.start()
    except OSError as error:
        click.echo(f"dragoman cannot listen on {settings.host}:{settings.port}: {error}. Set HOST and PORT.", err=True)
        await service.stop()
        return EX_CONFIG
    _log.info("listening", url=server.url, webhook=f"{settings.public_url or server.url}/webhooks/linear")
    code = await _until_stopped(service, stop)
    await server.stop()
    await service.stop()
    return code


async def _until_stopped(service: Service, stop: asyncio.Event) -> int:
    if service.fatal is None:
        raise RuntimeError("the service was not started")
    waiting = asyncio.create_task(stop.wait())
    service.fatal.add_done_callback(lambda _: stop.set())
    await waiting
    if service.fatal.done():
        click.echo(f"dragoman refuses to run: {service.fatal.result()}", err=True)
        return EX_CONFIG
    _log.info("stopping")
    return 0


def _problems(error: ConfigurationError) -> str:
    lines = "\n".join(f"  - {problem}" for problem in error.problems)
    return f"dragoman cannot start: {len(error.problems)} setting(s) need attention\n{lines}"

"""Settings while the service runs: read again on a signal or when the file changed; the last good ones hold.

What may change without a restart is named in `config.settings.LIVE`. The composition root gives each such part to who
needs it, with `apply_to`: called at once, and again after each change. A mistake in the file never takes a running
service down: it is told in the log and at /readyz, and nothing changes until it is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from dragoman import logs
from dragoman.config import LIVE, Settings, names_of
from dragoman.errors import ConfigurationError

WATCH_S = 1.0  # between two looks at the file; a change is taken up when two looks agree, so never half-written
_log = logs.get("settings")

Taker = Callable[[Settings], None]
Load = Callable[[], Settings]


class LiveSettings:
    """What holds now.

    current   the last good settings
    problems  what was wrong with what was read last, one line each; empty = nothing
    waiting   names whose new value waits for a restart
    """

    def __init__(self, settings: Settings, load: Load | None = None) -> None:
        self.current = settings
        self.problems: tuple[str, ...] = ()
        self.waiting: tuple[str, ...] = ()
        self._load = load
        self._takers: list[Taker] = []
        self._seen = _state(settings.config_file)

    def apply_to(self, taker: Taker) -> None:
        """Have `taker` called with the settings, now and whenever they change."""
        taker(self.current)
        self._takers.append(taker)

    def reload(self) -> None:
        """Read everything again. Nothing is raised: what is wrong is told, and the last good settings stay."""
        if self._load is None:
            return
        self._seen = _state(self.current.config_file)
        try:
            read = self._load()
        except ConfigurationError as error:
            self.problems = tuple(error.problems)
            for problem in self.problems:
                _log.error("settings.refused", problem=problem, what="the last good settings stay in force")
            return
        self.problems = ()
        logs.keep_secret(read.secrets())
        changed = {name for name in Settings.__struct_fields__ if getattr(read, name) != getattr(self.current, name)}
        self.waiting = tuple(sorted(names_of(changed - LIVE)))
        if self.waiting:
            _log.warning("settings.waiting", names=self.waiting, what="they change with the next restart")
        for doubt in set(read.doubts) - set(self.current.doubts):
            _log.warning("setting.doubtful", what=doubt)
        live = changed & LIVE
        self.current = replace(self.current, **{name: getattr(read, name) for name in live})
        for taker in self._takers:
            taker(self.current)
        _log.info("settings.reloaded", changed=sorted(names_of(live)))

    async def watch(self) -> None:
        """Read again when the TOML file changed, until cancelled."""
        before = self._seen
        while True:
            await asyncio.sleep(WATCH_S)
            now = _state(self.current.config_file)
            if now == before and now != self._seen:
                self.reload()
            before = now


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a file does; empty when there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino

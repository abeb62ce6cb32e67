"""`python -m bench [acks|first-thought|turn|sse|outbound|start|large-repository|workspaces|all]`: see README.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench.machine import described
from bench.native import NotBuilt


def _acks() -> str:
    from bench import acks

    return acks.measure()


def _first_thought() -> str:
    from bench import first_thought

    return first_thought.measure()


def _turn() -> str:
    from bench import turn

    return turn.measure()


def _sse() -> str:
    from bench import sse

    return sse.measure()


def _outbound() -> str:
    from bench import outbound

    return outbound.measure()


def _start() -> str:
    from bench import start

    return start.measure()


def _large_repository() -> str:
    from bench import repositories

    return repositories.measure_large()


def _workspaces() -> str:
    from bench import repositories

    return repositories.measure_many()


MEASUREMENTS: dict[str, Callable[[], str]] = {
    "start": _start,
    "turn": _turn,
    "sse": _sse,
    "outbound": _outbound,
    "acks": _acks,
    "first-thought": _first_thought,
    "large-repository": _large_repository,
    "workspaces": _workspaces,
}


def main() -> int:
    """Measure what was asked for and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure. Every figure belongs to its run.")
    parser.add_argument("what", nargs="*", choices=[*MEASUREMENTS, "all"], default="all")
    wanted = parser.parse_args().what
    names = list(MEASUREMENTS) if "all" in wanted else list(dict.fromkeys(wanted))
    print(f"Machine: {described()}")
    code = 0
    for name in names:
        try:
            print(MEASUREMENTS[name](), flush=True)
        except NotBuilt as missing:
            print(f"\n{name}: {missing}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())

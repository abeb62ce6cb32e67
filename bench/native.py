"""The two C programs: built when first needed, kept as long as their source is the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.figures import Load
from bench.machine import pinned

HERE = Path(__file__).parent
DELIVERY = HERE / "delivery.json"
SECRET = "bench_secret"
_BUILD_S = 60.0
_NEEDED = (
    "The load generator and the limit server are C: they need gcc and OpenSSL's headers "
    "(Debian: apt-get install gcc libc6-dev libssl-dev)."
)


class NotBuilt(Exception):
    """A C program could not be built; the text says what is missing."""


def program(name: str) -> Path:
    """The built program `native/<name>.c`. Raises NotBuilt."""
    source = HERE / "native" / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    built = Path(tempfile.gettempdir()) / f"dragoman-bench-{digest}-{name}"
    if built.is_file():
        return built
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NotBuilt(f"gcc was not found. {_NEEDED}")
    fresh = built.with_suffix(".new")
    argv = [compiler, "-O2", "-o", str(fresh), str(source), "-lcrypto"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    if done.returncode:
        raise NotBuilt(f"{source.name} does not build. {_NEEDED}\n{done.stderr[-2000:]}")
    fresh.rename(built)
    return built


def load(port: int, path: str, connections: int, *, seconds: float, warm_s: float, deliveries: int) -> Load:
    """Send deliveries as fast as they are answered; every one is another one."""
    argv = [str(program("load")), str(port), path, str(connections), str(seconds), str(warm_s), str(deliveries)]
    argv += [str(DELIVERY), SECRET]
    done = subprocess.run(
        pinned(argv, "load"), capture_output=True, text=True, timeout=seconds + warm_s + 60.0, check=True
    )
    return Load(**json.loads(done.stdout))

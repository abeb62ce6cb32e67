"""Free ports on this machine."""

from __future__ import annotations

import secrets
import socket

# Below the range from which systems take the near end of outgoing connections (Linux: from 32768 on): a port from there
# may be gone again, to a connection of anybody, before a server has it.
_FIRST, _COUNT = 20_000, 12_000
_TRIES = 50
_given: set[int] = set()  # by this process; whoever asks twice wants two, though nobody listens on the first one yet


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, and that no outgoing connection takes by chance."""
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_COUNT)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port
    with _socket(host) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    with _socket(host) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)

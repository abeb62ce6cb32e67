"""Free ports."""

import pytest

from dragoman import ports


def test_whoever_asks_twice_gets_two_though_nobody_listens_on_the_first_one_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "_COUNT", 2)
    monkeypatch.setattr(ports, "_given", set())
    assert len({ports.free_port() for _ in range(2)}) == 2

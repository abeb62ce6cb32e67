"""Links to sessions: each opens one page, still does after a restart, and cannot be guessed from another."""

import stat
from pathlib import Path

from dragoman.ids import SessionId
from dragoman.runtime.links import Links

ONE, TWO = SessionId("session-one"), SessionId("session-two")


def test_a_link_has_a_key_of_its_own_that_outlives_a_restart(tmp_path: Path) -> None:
    links = Links("https://dragoman.example.com", tmp_path / "link.key")
    assert links.to(ONE) == f"https://dragoman.example.com/sessions/session-one?key={links.key_of(ONE)}"
    assert links.key_of(ONE) != links.key_of(TWO)
    assert Links("https://dragoman.example.com", tmp_path / "link.key").to(ONE) == links.to(ONE)
    assert Links("", tmp_path / "other.key").key_of(ONE) != links.key_of(ONE)


def test_without_a_public_address_there_is_no_link(tmp_path: Path) -> None:
    assert Links("", tmp_path / "link.key").to(ONE) is None


def test_the_key_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    Links("", tmp_path / "link.key")
    assert stat.S_IMODE((tmp_path / "link.key").stat().st_mode) == 0o600

"""A folder that belongs to an agent: found and read without following, waiting for or swallowing anything."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dragoman.core.outbox import FOLDER
from dragoman.repositories.outbox import LISTED, Found, find_files, read_file
from dragoman.repositories.reading import NotPlain, TooLarge

SECRET = b"canary: not for anybody"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give a workspace with an empty outbox, and a secret beside it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    place = tmp_path / "workspace"
    (place / FOLDER).mkdir(parents=True)
    return place


def put(workspace: Path, name: str, content: bytes = b"x", *, at: int = 1_000) -> Path:
    path = workspace / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def names(workspace: Path) -> list[str]:
    return [file.name for file in find_files(workspace, FOLDER)]


def the_one(workspace: Path) -> Found:
    (found,) = find_files(workspace, FOLDER)
    return found


def read(workspace: Path, most: int = 1_000) -> bytes:
    return read_file(workspace, the_one(workspace).path, most)[0]


def test_the_newest_file_comes_first_folders_are_looked_into_and_hidden_files_are_not(workspace: Path) -> None:
    put(workspace, "old.png", at=10)
    put(workspace, "run 2/new.png", at=30)
    put(workspace, "b.png", at=20)
    put(workspace, "a.png", at=20)
    put(workspace, ".gitignore", at=40)
    put(workspace, ".cache/x.png", at=40)
    assert names(workspace) == ["run 2/new.png", "a.png", "b.png", "old.png"]


def test_no_folder_is_no_files(tmp_path: Path) -> None:
    assert find_files(tmp_path, FOLDER) == []


def test_a_mark_tells_a_change_and_the_content_has_a_mark_of_its_own(workspace: Path) -> None:
    put(workspace, "a.png", b"one")
    first, content = the_one(workspace).mark, read_file(workspace, the_one(workspace).path, 10)[1]
    assert the_one(workspace).mark == first
    put(workspace, "a.png", b"one", at=2_000)
    assert the_one(workspace).mark != first
    assert read_file(workspace, the_one(workspace).path, 10) == (b"one", content)
    put(workspace, "a.png", b"two", at=2_000)
    assert read_file(workspace, the_one(workspace).path, 10)[1] != content


@pytest.mark.parametrize("link", [".dragoman", FOLDER])
def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere" / "outbox"
    elsewhere.mkdir(parents=True)
    (elsewhere / "secret.txt").write_bytes(SECRET)
    place = tmp_path / "workspace" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere.parent if link == ".dragoman" else elsewhere)
    with pytest.raises(OSError, match=r"\.dragoman|outbox") as raised:
        find_files(tmp_path / "workspace", FOLDER)
    assert not isinstance(raised.value, FileNotFoundError)


def test_links_and_pipes_are_seen_for_what_they_are_and_never_opened(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workspace / FOLDER
    monkeypatch.chdir(folder)  # the path of a socket must be short
    (folder / "link.txt").symlink_to("../../../secret.txt")
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "folder").symlink_to("../../..")
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        found = find_files(workspace, FOLDER)
        assert {file.name: file.size for file in found} == dict.fromkeys(
            ("link.txt", "dangling", "folder", "pipe.png", "socket.png")
        )
        for file in found:
            with pytest.raises(NotPlain):
                read_file(workspace, file.path, 1_000)


def test_a_second_name_of_a_file_is_not_read(workspace: Path) -> None:
    (workspace / FOLDER / "hard.txt").hardlink_to(workspace.parent / "secret.txt")
    with pytest.raises(NotPlain):
        read(workspace)


def test_a_link_that_takes_a_files_or_folders_place_after_the_look_leads_nowhere(workspace: Path) -> None:
    file = put(workspace, "inner/a.txt")
    found = the_one(workspace)
    file.unlink()
    file.symlink_to(workspace.parent / "secret.txt")
    with pytest.raises(NotPlain):
        read_file(workspace, found.path, 1_000)
    file.unlink()
    file.parent.rmdir()
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(SECRET)
    file.parent.symlink_to(outside)
    with pytest.raises((OSError, NotPlain)):
        read_file(workspace, found.path, 1_000)


def test_a_huge_file_is_not_read(workspace: Path) -> None:
    path = put(workspace, "huge.png")
    os.truncate(path, 1 << 40)  # a terabyte of nothing
    with pytest.raises(TooLarge):
        read(workspace, 10_000_000)
    put(workspace, "huge.png", b"x" * 100)
    assert len(read(workspace, 100)) == 100
    with pytest.raises(TooLarge):
        read(workspace, 99)


def test_thousands_of_files_and_folders_are_looked_at_within_bounds(workspace: Path) -> None:
    for number in range(LISTED + 50):
        put(workspace, f"{number}.png", b"")
    assert len(names(workspace)) == LISTED
    deep = workspace / FOLDER
    for path in deep.iterdir():
        path.unlink()
    for number in range(LISTED + 50):
        (deep / str(number)).mkdir()
    put(workspace, "z/a.png")
    assert len(names(workspace)) <= 1


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"-rf", b"a\nb.png", b" ", "\u202ea".encode(), b"x" * 255])
def test_any_name_can_be_read_and_is_text(workspace: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(workspace / FOLDER), name), "wb") as file:  # noqa: PTH118, PTH123 - bytes
        file.write(b"hello")
    assert the_one(workspace).name.encode()
    assert read(workspace) == b"hello"

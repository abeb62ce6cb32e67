"""What the agent puts out for people: files in a folder of its workspace that are shown under its answer.

Each is shown once. What a session remembers of it are two short digests: of its bytes, so that a copy or a file that was
merely touched is not shown again, and of its place and time on disk, so that it need not be read again to know that.
"""

from __future__ import annotations

from dragoman.record import Record

FOLDER = ".dragoman/outbox"  # in a workspace
REMEMBERED = 400  # digests of a session, the newest; two a file


class OutboxFile(Record):
    """A file that the agent put out, and what became of it.

    name     its path below the folder, as the agent called it: any characters at all
    marks    digests by which it is known again; none = it is tried again at the end of the next turn
    url      where Linear keeps it; empty when it is not there
    image    it is shown as a picture
    problem  why it is not shown, for people; empty when it is
    """

    name: str
    marks: tuple[str, ...] = ()
    url: str = ""
    image: bool = False
    problem: str = ""


def with_file(files: tuple[OutboxFile, ...], file: OutboxFile) -> tuple[OutboxFile, ...]:
    """The files of a turn with one more; of one that was heard of before, the news count."""
    return (*(known for known in files if known.name != file.name), file)


def remembered(known: tuple[str, ...], files: tuple[OutboxFile, ...]) -> tuple[str, ...]:
    """What a session knows once people have read of these files."""
    marks = dict.fromkeys((*known, *(mark for file in files for mark in file.marks)))
    return tuple(marks)[-REMEMBERED:]

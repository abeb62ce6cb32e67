"""The sentences about the repository in which it is to be worked."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.core.text import one_line


def which_repository(unknown: str, *, again: bool) -> str:
    """The question in which repository it is to be worked. `unknown`: what the request named and nobody configured."""
    if again:
        return "I did not understand which repository that is. Choose one below, or write its name."
    if unknown:
        return f"I do not know the repository “{one_line(unknown, 100)}”. In which one shall I work?"
    return "In which repository shall I work? Choose one, or write its name. I remember it for this issue."


def place_chosen(name: str) -> str:
    """People chose a repository."""
    return f"I work in **{name}**, for this issue from now on."


def no_place(names: Iterable[str]) -> str:
    """Nobody could be understood: the turn ends."""
    return (
        "I still do not know in which repository to work, so I have not begun; nothing was changed. Write the request "
        f"again with its name, such as `repo:{next(iter(names), 'owner/name')}`."
    )


def stays_in(name: str, named: str) -> str:
    """A later request names another repository than the session works in."""
    return (
        f"This session works in **{name}**, so I stay there. For work in {one_line(named, 100)}, mention me in a new "
        "comment and name it."
    )


def about_workspace(notes: Iterable[str]) -> str:
    """What a new workspace has not got."""
    return "\n".join(f"📁 {one_line(note, 500)}" for note in notes)

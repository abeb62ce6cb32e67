"""What people attached, fetched for the agent before it is told what to do. What cannot be had is said to it."""

from __future__ import annotations

from dragoman import logs
from dragoman.core.events.linear import Issue, Prompt
from dragoman.linear.client import Linear
from dragoman.linear.files import fetch_all, file_links
from dragoman.opencode.attached import FilePart

_log = logs.get("attachments")


class Attachments:
    """Fetches the files that a message, and the issue it came with, link to."""

    def __init__(self, linear: Linear) -> None:
        self._linear = linear

    async def of(self, prompt: Prompt, issue: Issue | None = None) -> tuple[tuple[FilePart, ...], tuple[str, ...]]:
        """The files for the agent, and what it is to be told of those that are missing. Never fails.

        issue  its description counts, too; for the first message of a thread
        """
        texts = [prompt.text, prompt.context, *(edit.added for edit in prompt.edits)]
        if issue is not None:
            texts.append(issue.description)
        links = file_links(texts, self._linear.store)
        if not links:
            return (), ()
        files, missing = await fetch_all(links, self._linear.file)
        _log.info("files.fetched", files=len(files), missing=len(missing))
        parts = tuple(FilePart(name=file.name, mime=file.mime, content=file.content) for file in files)
        return parts, tuple(f"An attached file is missing here: {reason}" for reason in missing)

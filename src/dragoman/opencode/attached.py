"""Files that go with a message to OpenCode."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from dragoman.ids import MessageId, file_part_id
from dragoman.record import Record


class FilePart(Record):
    """A file for the model. Images and PDFs reach it as such, text/plain as text."""

    name: str
    mime: str
    content: bytes


def file_parts(message: MessageId, files: Sequence[FilePart]) -> list[dict[str, str]]:
    """The files as parts of a message, with ids of ours, so that a message may be sent again."""
    return [
        {
            "id": file_part_id(message, number),
            "type": "file",
            "mime": file.mime,
            "filename": file.name,
            "url": f"data:{file.mime};base64,{base64.b64encode(file.content).decode()}",
        }
        for number, file in enumerate(files)
    ]

"""Who we are in Linear."""

from __future__ import annotations

from dragoman.ids import OrganizationId, UserId
from dragoman.record import Record


class Viewer(Record):
    """The user whose token we use: the app user, or a person with a personal key.

    name           "OpenCode"
    display_name   what people write after "@"
    url            the profile; empty when Linear did not tell
    organization   the one tenant that the token reaches
    url_key        the organization's name in URLs; may be renamed
    """

    id: UserId
    name: str
    display_name: str
    url: str
    organization: OrganizationId
    url_key: str

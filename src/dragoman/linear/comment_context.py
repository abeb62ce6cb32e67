"""From the body of a `Comment` webhook to the context of a session that the library makes."""

from __future__ import annotations

import msgspec

from dragoman.core.context import LinearContext
from dragoman.linear.wire import Issue, User, Wire
from dragoman.record import without_halves


class _Comment(Wire):
    id: str | None = None
    body: str | None = None
    created_at: str | None = None
    issue: Issue | None = None
    user: User | None = None


class _Delivery(Wire):
    type: str | None = None
    created_at: str | None = None
    data: _Comment | None = None


_decoder = msgspec.json.Decoder(_Delivery)


def read_context(payload: object) -> LinearContext | None:
    """The context that a webhook's body holds; None when it is no comment of a person on an issue.

    payload  the body: bytes or text as they came, or the mapping that JSON made of them. Its signature is not looked
             at: a body from outside goes through `linear.webhook.open_delivery` first
    returns  None for another type than `Comment`, for `data` that is null, for one without issue, person, id or words
    Raises   nothing, whatever the payload is
    Source   linear.app/developers/webhooks#webhook-payload, type CommentWebhookPayload
    """
    try:
        if isinstance(payload, str):
            payload = payload.encode("utf-8", "replace")
        if isinstance(payload, bytes | bytearray | memoryview):
            delivery = _decode(bytes(payload))
        else:
            delivery = msgspec.convert(payload, _Delivery)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    comment = delivery.data
    if delivery.type != "Comment" or comment is None or comment.issue is None or comment.user is None:
        return None
    issue, user = comment.issue, comment.user
    context = LinearContext(
        issue_id=issue.id or "",
        issue_title=issue.title or "",
        issue_description=issue.description or "",
        user_id=user.id or "",
        user_name=user.name or "",
        team_id=issue.team_id or (issue.team.id if issue.team else None) or "",
        comment_id=comment.id or "",
        mention_text=comment.body or "",
        created_at=comment.created_at or delivery.created_at or "",
    )
    return None if context.missing() else context


def _decode(body: bytes) -> _Delivery:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _decoder.decode(without_halves(body))  # Linear has cut a text in the middle of an emoji

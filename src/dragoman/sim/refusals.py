"""How a pretend Linear says no: the shapes of GraphQL errors.

Source  linear.app/developers/graphql (HTTP 200 may carry errors), the error classes of Linear's SDK for `extensions`.
        Message texts are ours where Linear documents none.
"""

from __future__ import annotations


class Refused(Exception):
    """A request that Linear understood and will not do; the same request will be refused again.

    kind    `extensions.type`: "invalid input", "user error", "forbidden", "authentication error", "ratelimited"
    code    `extensions.code`
    status  `extensions.statusCode`; the HTTP status of an executed document stays 200
    """

    def __init__(
        self, message: str, *, kind: str = "invalid input", code: str = "INPUT_ERROR", status: int = 400
    ) -> None:
        super().__init__(message)
        # graphql-core copies this attribute of the original error into the reply.
        self.extensions: dict[str, object] = {
            "type": kind,
            "code": code,
            "statusCode": status,
            "userError": True,
            "userPresentableMessage": message,
        }


def not_found(entity: str) -> Refused:
    """The entity does not exist, was deleted, or is not ours to see."""
    return Refused(f"Entity not found: {entity}")


def forbidden(message: str = "You don't have permission to do this.") -> Refused:
    """The app has no access."""
    return Refused(message, kind="forbidden", code="FORBIDDEN", status=403)


def duplicate(entity: str, entity_id: str) -> Refused:
    """The client's id is taken: the first writer won, the second is refused and never merged."""
    return Refused(f"conflict on insert of {entity}: an entity with id {entity_id} already exists")


def as_reply(refused: Refused) -> dict[str, object]:
    """The GraphQL body of a request that was refused before anything was executed."""
    return {"errors": [{"message": str(refused), "extensions": refused.extensions}]}


def not_authenticated() -> Refused:
    """No token, or one that was never issued, has expired or was revoked: HTTP 401."""
    return Refused(
        "Authentication required, not authenticated",
        kind="authentication error",
        code="AUTHENTICATION_ERROR",
        status=401,
    )


def rate_limited(limit_per_hour: int) -> Refused:
    """Too many requests: Linear documents HTTP 400 with this code, others have seen HTTP 429."""
    return Refused(
        f"Rate limit exceeded. Only {limit_per_hour} requests are allowed per 1 hour.",
        kind="ratelimited",
        code="RATELIMITED",
        status=429,
    )

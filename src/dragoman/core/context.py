"""What a program says of the comment that it wants worked on: the context of a session that the library makes."""

from __future__ import annotations

from dragoman.record import Record


class LinearContext(Record, kw_only=True, tag=False, rename="camel", omit_defaults=False):
    """Who wrote what, on which issue. As JSON the names are in camel case: `issueId`, `issueTitle`, …

    issue_id           Linear's UUID of the issue
    issue_title        its title
    issue_description  its text; "" when it has none or the webhook did not bring it
    user_id            Linear's UUID of the person
    user_name          their name
    team_id            Linear's UUID of the issue's team; "" when unknown
    comment_id         Linear's UUID of the comment
    mention_text       the comment's words, verbatim
    created_at         when it was written, ISO 8601 as Linear sends it; "" when unknown
    """

    issue_id: str
    issue_title: str
    issue_description: str = ""
    user_id: str
    user_name: str
    team_id: str = ""
    comment_id: str
    mention_text: str
    created_at: str = ""

    def missing(self) -> tuple[str, ...]:
        """The fields that must say something and do not, as JSON names them."""
        wanted = {
            "issueId": self.issue_id,
            "issueTitle": self.issue_title,
            "userId": self.user_id,
            "userName": self.user_name,
            "commentId": self.comment_id,
            "mentionText": self.mention_text,
        }
        return tuple(name for name, said in wanted.items() if not said.strip())

"""Linear's API over one pool of connections. Every request passes the governor, has a deadline, and may be repeated:
activities carry ids of ours, everything else sets what it sets.

Source  linear.app/developers/graphql, /agent-interaction
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from dragoman.clock import Clock, SystemClock
from dragoman.core.activities import Activity, Elicitation, Thought, is_final, is_fleeting
from dragoman.core.events.linear import Blocker, Issue, Person, Suggestion
from dragoman.core.events.opencode import Todo
from dragoman.errors import DuplicateWrite, LinearError
from dragoman.ids import ActivityId, IssueId, OrganizationId, SessionId, Thread, UserId
from dragoman.linear import files, outbound, uploads, wire
from dragoman.linear.governor import Governor, Priority
from dragoman.linear.identity import Viewer
from dragoman.linear.oauth import ClientCredentials, Credentials, GivenToken
from dragoman.linear.outbound import Link
from dragoman.linear.requests import Requests

DEADLINE_S = 10.0
_STATES_KEPT_S = 600.0  # a team's columns change rarely
_STATES_KEPT = 1000
_OVER = frozenset({"completed", "canceled", "duplicate"})  # types of states


class Linear:
    """One organization's Linear, as the token reaches it. Use it as `async with`, or call `close`.

    base_url     LINEAR_API_URL; GraphQL is at /graphql, tokens at /oauth/token
    credentials  see `open_linear`
    governor     shared by all who use the same token; one of its own when None
    deadline_s   for a call as a whole, the wait for the governor and a token included
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        governor: Governor | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.store = files.store_of(base_url)
        self._clock = clock or SystemClock()
        self.governor = governor or Governor(self._clock)
        self._requests = Requests(
            base_url.rstrip("/") + "/graphql",
            credentials,
            clock=self._clock,
            governor=self.governor,
            deadline_s=deadline_s,
        )
        self._viewer: Viewer | None = None
        self._started_states: dict[str, tuple[tuple[wire.RepliedState, ...], float]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._requests.close()

    # ── what we do ───────────────────────────────────────────────────────
    async def post(
        self,
        session: SessionId,
        activity_id: ActivityId,
        activity: Activity,
        *,
        priority: Priority | None = None,
        link: str | None = None,
    ) -> Literal["written", "already_there"]:
        """Show an activity in a session. Repeating it is safe: the id is ours.

        priority  by the kind of the activity when None
        link      where the whole text is, for the note under a shortened one
        Raises    Dropped for a fleeting one while the budget is low; LinearError
        """
        written = outbound.activity_input(session, activity_id, activity, link=link, own=self._viewer)
        try:
            await self._requests.change(
                "ActivityCreate",
                {"input": written},
                priority_of(activity) if priority is None else priority,
                own_id=True,
            )
        except DuplicateWrite:
            return "already_there"
        return "written"

    async def show_plan(self, session: SessionId, items: Sequence[Todo], *, priority: Priority = Priority.PLAN) -> None:
        """Replace the plan of a session. Raises LinearError."""
        variables = {"id": session, "input": outbound.plan_input(items)}
        await self._requests.change("SessionUpdate", variables, priority)

    async def create_comment(
        self, thread: Thread, comment: ActivityId, body: str, *, priority: Priority
    ) -> Literal["written", "already_there"]:
        """Write a comment into a thread. Repeating it is safe: the id is ours. Raises LinearError."""
        written = {
            "id": comment,
            "issueId": thread.issue,
            "parentId": thread.root,
            "body": body,
            "doNotSubscribeToIssue": True,  # a person's key: their inbox is not ours to fill
        }
        try:
            await self._requests.change("CommentCreate", {"input": written}, priority, own_id=True)
        except DuplicateWrite:
            return "already_there"
        return "written"

    async def update_comment(self, comment: ActivityId, body: str, *, priority: Priority) -> None:
        """Replace the words of a comment of ours. Raises Dropped for an ephemeral change, LinearError."""
        await self._requests.change("CommentUpdate", {"id": comment, "input": {"body": body}}, priority)

    async def add_links(self, session: SessionId, links: Sequence[Link]) -> None:
        """Add links to a session; one that is there already is a success. Raises LinearError."""
        variables = {"id": session, "input": outbound.links_input(links)}
        try:
            await self._requests.change("SessionUpdate", variables, Priority.ACK, own_id=True)
        except DuplicateWrite:
            return

    async def attach(self, issue: IssueId, url: str, title: str) -> None:
        """Show a link among an issue's attachments; Linear keeps one of a URL, so it may be repeated. Raises LinearError."""
        await self._requests.change("AttachmentLink", {"issue": issue, "url": url, "title": title}, Priority.PLAN)

    async def begin_issue(self, issue: IssueId, *, start: bool, delegate: bool) -> Issue | None:
        """Move an issue that has not begun to its team's first started state, and become its delegate if it has none.

        start, delegate  each only if asked for; never touches the assignee
        Returns          the issue as it was read before, None when nothing was asked for
        Raises           LinearError
        """
        if not (start or delegate):
            return None
        read = await self.issue(issue)
        us = (await self.viewer()).id if delegate and read.delegate is None else None
        started = await self._started_states_of(read.team_id) if start and outbound.may_begin(read) else ()
        state = started[0].id if started else None
        changes = outbound.begin_input(read, started_state=state, delegate=us)
        if changes:
            await self._requests.change("IssueUpdate", {"id": issue, "input": changes}, Priority.PLAN)
        return read

    async def review_issue(self, issue: IssueId) -> None:
        """Move an issue to its team's started state for reviews, by its name; nothing when there is none, or the issue is
        over. Raises LinearError."""
        read = await self.issue(issue)
        states = await self._started_states_of(read.team_id) if read.state_type not in _OVER else ()
        fits = [one for one in states if "review" in one.name.casefold()]
        wanted = next((one for one in fits if one.name.casefold() == "in review"), fits[0] if fits else None)
        if wanted is not None and wanted.name != read.state:
            changes = {"id": issue, "input": {"stateId": wanted.id}}
            await self._requests.change("IssueUpdate", changes, Priority.PLAN)

    async def label_issue(self, issue: IssueId, label: str) -> None:
        """Give an issue a label, made for the whole organization when there is none of that name. Raises LinearError."""
        known = (await self._requests.read("LabelNamed", {"name": label}, wire.LabelsReply)).issue_labels.nodes
        own = [one.id for one in known if one.team is None]
        if not own:
            # Its name is its identity: when the answer to this gets lost, the next attempt finds it.
            await self._requests.change("LabelCreate", {"input": {"name": label}}, Priority.PLAN)
            made = (await self._requests.read("LabelNamed", {"name": label}, wire.LabelsReply)).issue_labels.nodes
            own = [one.id for one in made if one.team is None]
        if not own:
            raise LinearError("Linear does not show the label that was made.")
        changes = {"addedLabelIds": own[:1]}
        await self._requests.change("IssueUpdate", {"id": issue, "input": changes}, Priority.PLAN)

    # ── what we ask ──────────────────────────────────────────────────────
    async def issue(self, issue: IssueId) -> Issue:
        """Read an issue. Raises LinearError, not retryable when there is none that we may see."""
        found = (await self._requests.read("Issue", {"id": issue}, wire.IssueReply)).issue
        if found is None:
            raise LinearError("Linear has no such issue for us.", retryable=False)
        return Issue(
            id=IssueId(found.id),
            key=found.identifier,
            title=found.title,
            url=found.url,
            team_id=found.team.id if found.team else "",
            team_key=found.team.key if found.team else "",
            description=found.description or "",
            branch_name=found.branch_name or None,
            state_type=found.state.type if found.state else None,
            delegate=UserId(found.delegate.id) if found.delegate else None,
            priority=int(found.priority),
            state=found.state.name if found.state else "",
            project=found.project.name if found.project else "",
            labels=_label_names(found.labels.nodes if found.labels else ()),
            blocked_by=_blockers(found.inverse_relations.nodes if found.inverse_relations else ()),
            parent=IssueId(found.parent.id) if found.parent else None,
            parent_branch=found.parent.branch_name if found.parent else "",
        )

    async def suggestions(
        self, issue: IssueId, session: SessionId | None, candidates: Sequence[tuple[str, str]]
    ) -> tuple[Suggestion, ...]:
        """Which of some repositories Linear takes for the right ones, with how sure it is.

        candidates  (host, "owner/name") pairs
        Raises      LinearError
        """
        variables = {
            "issueId": issue,
            "agentSessionId": session,
            "candidateRepositories": [{"hostname": host, "repositoryFullName": name} for host, name in candidates],
        }
        found = (
            await self._requests.read("RepositorySuggestions", variables, wire.SuggestionsReply)
        ).issue_repository_suggestions
        return tuple(Suggestion(name=one.repository_full_name, confidence=one.confidence) for one in found.suggestions)

    async def file(self, link: files.FileLink, room: int) -> files.File:
        """Fetch a file that `files.file_links(…, self.store)` found, of `room` bytes at most. Raises LinearError."""
        return await files.fetch(link, self._requests.http(), self._requests.credentials, room=room)

    async def upload(self, name: str, mime: str, content: bytes) -> str:
        """Keep a file in Linear's store; the address under which people of the organization see it. Raises LinearError.

        Repeated, it makes another file: whoever calls remembers the address.
        """
        variables = {"contentType": mime, "filename": uploads.file_name(name), "size": len(content)}

        async def ask() -> wire.UploadFile:
            place = (
                await self._requests.read("FileUpload", variables, wire.FileUploadReply, Priority.ACTION)
            ).file_upload
            if not place.success or place.upload_file is None:
                raise LinearError("Linear gave no place for the file and no reason.")
            return place.upload_file

        return await uploads.upload(ask, self._requests.http(), store=self.store, mime=mime, content=content)

    async def person(self, user: UserId) -> Person:
        """Read a person. Raises LinearError, not retryable when there is none that we may see."""
        found = (await self._requests.read("User", {"id": user}, wire.UserReply)).user
        if found is None:
            raise LinearError("Linear has no such person for us.", retryable=False)
        return Person(id=UserId(found.id), name=found.name or "someone", email=found.email or None)

    async def viewer(self) -> Viewer:
        """Who we are; asked once, then remembered. Raises LinearError."""
        if self._viewer is None:
            found = (await self._requests.read("Viewer", {}, wire.ViewerReply)).viewer
            self._viewer = Viewer(
                id=UserId(found.id),
                name=found.name,
                display_name=found.display_name,
                url=found.url,
                organization=OrganizationId(found.organization.id),
                url_key=found.organization.url_key,
            )
        return self._viewer

    @property
    def known_viewer(self) -> Viewer | None:
        """Who we are, as far as it was asked already."""
        return self._viewer

    async def _started_states_of(self, team_id: str) -> tuple[wire.RepliedState, ...]:
        """The team's started states, the lowest position first."""
        if not team_id:
            return ()
        states, until = self._started_states.get(team_id, ((), 0.0))
        if self._clock.now() < until:
            return states
        team = (await self._requests.read("TeamStartedStates", {"id": team_id}, wire.TeamStatesReply)).team
        started = [known for known in (team.states.nodes if team else ()) if known.type == "started"]
        states = tuple(sorted(started, key=lambda known: known.position))
        if len(self._started_states) >= _STATES_KEPT:
            self._started_states.clear()
        self._started_states[team_id] = (states, self._clock.now() + _STATES_KEPT_S)
        return states


def open_linear(
    base_url: str,
    *,
    access_token: str = "",
    client_id: str = "",
    client_secret: str = "",
    clock: Clock | None = None,
    governor: Governor | None = None,
    deadline_s: float = DEADLINE_S,
) -> Linear:
    """A client for a token, or for the app's id and secret; the token counts when both are given."""
    clock = clock or SystemClock()
    credentials: Credentials
    if access_token:
        credentials = GivenToken(access_token)
    else:
        credentials = ClientCredentials(base_url.rstrip("/") + "/oauth/token", client_id, client_secret, clock)
    return Linear(base_url, credentials, clock=clock, governor=governor, deadline_s=deadline_s)


def priority_of(activity: Activity) -> Priority:
    """How urgent an activity is by its kind. A thought may be the acknowledgement that Linear waits for."""
    if is_final(activity):
        return Priority.FINAL
    if is_fleeting(activity):
        return Priority.EPHEMERAL
    match activity:
        case Elicitation():
            return Priority.ASK
        case Thought():
            return Priority.ACK
        case _:
            return Priority.ACTION


def _blockers(relations: Sequence[wire.Relation]) -> tuple[Blocker, ...]:
    """The issues that must be done first and are not."""
    open_ = [
        one.issue
        for one in relations
        if one.type == "blocks" and one.issue and one.issue.state and one.issue.state.type not in _OVER
    ]
    return tuple(Blocker(id=IssueId(one.id), key=one.identifier) for one in open_)


def _label_names(labels: Sequence[wire.RepliedLabel]) -> tuple[str, ...]:
    """Names; those of a group also with the group's name before them."""
    names = [label.name for label in labels if label.name]
    grouped = [f"{label.parent.name}:{label.name}" for label in labels if label.parent and label.name]
    return (*names, *grouped)

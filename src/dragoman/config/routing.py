"""`[routing]` and `[issue]` of the TOML file, and what of `[[repositories]]` decides where a request is worked on."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.routing import Place, Routing
from dragoman.record import Record
from dragoman.repositories.configured import Repository, host_of


class RoutingTable(Record):
    """How repositories are found.

    label_back  a repository that people chose is written to the issue, as a label `repo:owner/name`
    """

    label_back: bool = False


class IssueTable(Record):
    """What is done with issues.

    respect_blockers  work on an issue begins only when the issues that block it are done
    in_review         an issue with a pull request moves to its team's review state
    tell_edits        what people change on an issue while the agent works on it is told to the agent
    """

    respect_blockers: bool = False
    in_review: bool = False
    tell_edits: bool = True


def routing_of(repositories: Sequence[Repository], table: RoutingTable) -> Routing:
    """The rules."""
    return Routing(label_back=table.label_back, places=tuple(_place(one) for one in repositories))


def _place(repository: Repository) -> Place:
    return Place(
        name=repository.name,
        host=host_of(repository.url) or "localhost",
        default=repository.default,
        teams=repository.teams,
        projects=repository.projects,
        labels=repository.labels,
        template=repository.template,
        agent=repository.agent,
        model=repository.model,
        permissions=repository.permissions,
    )

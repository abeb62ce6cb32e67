"""The sentences about handing in work: a branch, a push, a pull request."""

from __future__ import annotations

from dragoman.core.text import one_line
from dragoman.core.wording.trouble import what_was_said
from dragoman.errors import ForgeRefusal

WORK_KEPT = "The work is kept on my side."
PULL_REQUEST = "Pull request"
NUDGED = "Some changes are not committed yet, so I asked the agent to commit what belongs to the work."
SHIPPING_OVERDUE = (
    "⚠️ Handing in the work has taken too long, so I do not keep you waiting. The work is kept, and I go on trying to "
    "push it and to open the pull request."
)
RETRIED = "I keep trying and add the link here as soon as it is through."
GAVE_UP = f"⚠️ I kept trying to hand in the work, without success. {WORK_KEPT} Write to me to try again."


def unreadable(detail: str) -> str:
    """The workspace cannot be looked at."""
    return (
        f"⚠️ I could not read the workspace, so nothing was pushed ({one_line(detail, 300)}). The files are untouched. "
        "Write to me to try again; if it keeps happening, a new session on this issue begins with a fresh workspace."
    )


def unfinished(what: str, count: int) -> str:
    """Uncommitted files that we leave alone."""
    return f"Not committed: {count} file{'' if count == 1 else 's'}, because the agent left {what} unfinished."


def uncommittable(detail: str) -> str:
    """git would not commit what was left."""
    return f"Not committed: what the agent had left, because git refused ({one_line(detail, 200)})."


def late(reason: str) -> str:
    """What was tried again is refused now."""
    return f"⚠️ I kept trying to hand in the work, and now it is refused. {reason}"


def push_refused(kind: ForgeRefusal, said: str, repository: str, branch: str, *, later: bool) -> str:
    """Why the branch is not on the remote, and what to do."""
    head = f"**Not pushed.** {_why_no_push(kind, repository, branch)} {WORK_KEPT}"
    return f"{head}{f' {RETRIED}' if later else ''}{what_was_said(said)}"


def _why_no_push(kind: ForgeRefusal, repository: str, branch: str) -> str:
    match kind:
        case "protected":
            return (
                f"A rule of {repository} forbids pushing to `{branch}`. Allow it there, or give the issue another "
                "branch name, and write to me to try again."
            )
        case "conflict":
            return (
                f"Somebody else has pushed to `{branch}` since I last did, and I do not overwrite that. Merge or remove "
                "their commits, and write to me to try again."
            )
        case "right":
            return (
                f"My token may not write to {repository}. Whoever runs me must give it the right to write contents "
                "(and workflows, if the change touches them); then write to me to try again."
            )
        case "credentials":
            return (
                f"{repository} does not accept my credentials. Whoever runs me must renew `GITHUB_TOKEN`, the GitHub App's "
                "key or the credential in the repository's url; then write to me to try again."
            )
        case "missing":
            return (
                f"{repository} was not found, or my token may not see it. Whoever runs me must check its url and token; "
                "then write to me to try again."
            )
        case "content":
            return (
                "The remote does not take these files: one is too large, or looks like a secret. Ask me to take it out."
            )
        case "limited":
            return "The remote takes no more requests from me for a while."
        case "away":
            return "The remote cannot be reached at the moment."
        case _:
            return "The remote refused it. Write to me to try again; if it says the same, whoever runs me must look into it."


def pull_request_refused(kind: ForgeRefusal, said: str, repository: str, branch: str, base: str, *, later: bool) -> str:
    """Why there is no pull request although the branch is pushed, and what to do."""
    if kind == "nothing":
        return f"There is no pull request: `{branch}` holds nothing that its base does not have."
    head = f"**No pull request.** `{branch}` is pushed, but {_why_no_pull_request(kind, repository, base)}"
    return f"{head}{f' {RETRIED}' if later else ''}{what_was_said(said)}"


def _why_no_pull_request(kind: ForgeRefusal, repository: str, base: str) -> str:
    match kind:
        case "base":
            return (
                f"the branch that it is for, `{base}`, is not on {repository} any more. Put it back, or have whoever runs "
                "me set another `base_branch`; then write to me to try again."
            )
        case "right":
            return (
                f"my token may not open pull requests in {repository}. Whoever runs me must give it that right; then write "
                "to me to try again."
            )
        case "credentials":
            return (
                "GitHub does not accept my token. Whoever runs me must renew it, or the GitHub App's key; then write to me to "
                "try again."
            )
        case "missing":
            return (
                f"{repository} was not found there, or my token may not see its pull requests. Whoever runs me must check its "
                "name and the token; then write to me to try again."
            )
        case "limited":
            return "GitHub takes no more requests from me for a while."
        case "away":
            return "GitHub cannot be reached at the moment."
        case _:
            return "GitHub refused to open one. Open it yourself, or write to me to try again."


def not_finished_in_time(*, pushed: bool) -> str:
    """The deadline came in the middle."""
    state = "The branch is pushed, but there is no pull request yet" if pushed else "Nothing is pushed yet"
    return f"Handing in the work took too long. {state}. {WORK_KEPT} {RETRIED}"


def is_base(branch: str) -> str:
    """The session's branch is the one that work starts from."""
    return (
        f"**Not pushed.** The work is on `{branch}`, which is the base branch, and I never push there. {WORK_KEPT} "
        "Give the issue another branch name and write to me to try again."
    )


def compare(base: str, branch: str) -> str:
    """How to look at a branch on a plain remote."""
    return f"Compare it with `git fetch origin {branch} && git diff {base}...FETCH_HEAD`."


def compare_link(url: str) -> str:
    """Where a person opens the pull request when nothing lets us do it."""
    return f"Open a pull request: {url}"


def broke_while_shipping(run: str) -> str:
    """A bug of ours kept the work from being delivered."""
    return (
        f"⚠️ Something broke on my side while I handed in the work; the log has `run={run}`. The work is kept. "
        "Write to me to try again."
    )

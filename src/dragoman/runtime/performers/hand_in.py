"""One session's work on its way: each part may be done again and finds what was done before.

What goes wrong for a reason that passes is tried a few times; then, as with what is refused for good, the receipt says
what happened and what to do, and the parts that need it are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from dragoman import logs
from dragoman.core import receipt as words_of
from dragoman.core import wording
from dragoman.core.events.desk import Check, Receipt
from dragoman.core.session import Session, Shipping, Workspace
from dragoman.errors import ForgeError, GitError
from dragoman.ids import SessionId
from dragoman.repositories.changes import changes_between
from dragoman.repositories.configured import Repository
from dragoman.repositories.forge import Forge
from dragoman.repositories.leftovers import Confine, commit_left, look
from dragoman.repositories.naming import pushed_ref, session_ref, shipped_ref
from dragoman.repositories.refusals import refusal_of
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.verify import Ran, run_clean
from dragoman.repositories.workspaces import recorded_base, save_branch

PAUSES_S = (0.5, 2.0)  # before the second and the third attempt at what may pass
FETCH_S = 120.0
NO_SANDBOX = "bubblewrap is not installed where I run, and I run nothing of an agent's without it"
_log = logs.get("delivery")


async def shipped_so_far(trusted: TrustedRepository, session: SessionId) -> str:
    """The commit up to which a session's work was delivered; the one it began at when nothing was.

    Raises  GitError when neither is known
    """
    known = await trusted.resolve(shipped_ref(session)) or recorded_base(trusted, session)
    if known is None:
        raise GitError("it is not known where its branch began", retryable=False)
    return known


class HandIn:
    """The parts in their order: save, push, verify, offer. `receipt` grows with each.

    place        the session's workspace
    words        the agent's last words
    confine      holds commands of ours in an agent's files; None where nothing can
    environment  what verify commands get
    """

    def __init__(
        self,
        session: Session,
        place: Workspace,
        words: str,
        *,
        repository: Repository,
        trusted: TrustedRepository,
        forge: Forge,
        confine: Confine | None,
        environment: Mapping[str, str],
    ) -> None:
        self._session = session
        self._place = place
        self._words = words
        self._repository = repository
        self._trusted = trusted
        self._forge = forge
        self._confine = confine
        self._environment = environment
        self._since = ""
        self.tip = ""  # the commit to deliver, once it is in our copy
        self.receipt = Receipt(repository=repository.name, branch=place.branch, base=trusted.default_branch())

    async def _choose_base(self) -> None:
        """A sub-issue's work is offered to the branch that it began at, as long as the remote has that."""
        branch = self._place.base
        if not branch:
            return
        try:
            there = await self._trusted.remote_tip(branch)
        except GitError:  # the remote is away: as far as we know. That is no reason not to save the work.
            there = await self._trusted.branch_tip(branch)
        if there:
            self._tell(base=branch)

    # ── into our copy ────────────────────────────────────────────────────
    async def save(self) -> None:
        """Commit what is left, and copy the branch into the trusted repository. Raises GitError."""
        await self._choose_base()
        await self._commit()
        self._since = await shipped_so_far(self._trusted, self._session.id)
        ref = session_ref(self._session.id)
        tip = await save_branch(self._trusted, self._place, ref)
        if tip is None:
            raise GitError("the branch is gone, and nothing was ever committed", retryable=False)
        await self._know(tip)

    async def saved_before(self) -> bool:
        """Take up what an earlier attempt saved; False when there is nothing that was not delivered."""
        await self._choose_base()
        self._since = await shipped_so_far(self._trusted, self._session.id)
        tip = await self._trusted.resolve(session_ref(self._session.id))
        if tip is None or tip == self._since:
            return False
        await self._know(tip)
        return True

    async def _know(self, tip: str) -> None:
        self.tip = tip
        found = await changes_between(self._trusted, self._since, tip)
        self._tell(
            commits=found.commits,
            commit_count=found.count,
            files=found.files,
            added=found.added,
            removed=found.removed,
        )

    async def _commit(self) -> None:
        if self._confine is None:
            return
        directory = Path(self._place.directory)
        left = await look(directory, self._confine)
        if left.underway:
            self._tell(left=wording.shipping.unfinished(left.underway, left.count) if left.count else "")
        elif left.count:
            message = logs.without_secrets(words_of.commit_message(self._words, self._session.issue))
            try:
                await commit_left(directory, self._confine, message)
            except GitError as error:
                _log.warning("leftovers.uncommitted", session=self._session.id, error=str(error))
                self._tell(left=wording.shipping.uncommittable(str(error)))
            else:
                self._tell(committed=left.count)

    # ── to the remote ────────────────────────────────────────────────────
    async def push(self) -> None:
        """Push, a few times if need be; trouble goes into the receipt."""
        if self._place.branch == self._trusted.default_branch():
            self._tell(trouble=wording.shipping.is_base(self._place.branch))
            return
        if self.tip == self._since and not await self._trusted.resolve(pushed_ref(self._session.id)):
            return  # nothing was committed: an empty branch helps nobody
        try:
            await _patiently(self.push_once)
        except ForgeError as error:
            _log.warning("push.refused", session=self._session.id, kind=error.kind, error=str(error))
            self._put_off(error)

    async def push_once(self) -> None:
        """Have the remote's branch at our commit. Overwritten is only what it took from us. Raises ForgeError."""
        branch, trusted, ref = self._place.branch, self._trusted, pushed_ref(self._session.id)
        try:
            there = await trusted.remote_tip(branch)
            if there != self.tip:
                ours = await trusted.resolve(ref)
                if there is not None and there != ours and not await trusted.contains(self.tip, there):
                    raise ForgeError(f"the remote's {branch} is at {there[:10]}, which is not from here", "conflict")
                await trusted.push(self.tip, branch, expected=there, deadline_s=FETCH_S)
            await trusted.keep(ref, self.tip)
        except GitError as error:
            raise refusal_of(error) from error
        link = self._forge.compare_url(self._repository, self.receipt.base, branch)
        self._tell(
            pushed=True,
            compare=wording.shipping.compare_link(link)
            if link
            else wording.shipping.compare(self.receipt.base, branch),
        )

    # ── verified ─────────────────────────────────────────────────────────
    async def verify(self) -> None:
        """Run the operator's commands on a clean clone; what keeps them from running goes into the receipt."""
        if not self._repository.verify or self.tip == self._since:
            return
        if self._confine is None:
            self._tell(unchecked=NO_SANDBOX)
            return
        try:
            ran = await self._run(self.tip, self._repository.verify_s)
            self._tell(checks=tuple(_check(one) for one in ran))
            if self._repository.verify_red and self._is_fix():
                await self._prove(self._repository.verify_s - sum(one.took_s for one in ran))
        except (GitError, OSError) as error:
            _log.warning("verify.failed", session=self._session.id, error=str(error))
            self._tell(unchecked=f"the clean clone could not be made: {error}")

    async def _prove(self, left_s: float) -> None:
        """Run the new tests on the base: a fix whose test passes there as well is unproven.

        Those of the whole branch: what a review made of it later needs no test of its own.
        """
        base = await self._trusted.branch_tip(self.receipt.base) or self._since
        tests = (await changes_between(self._trusted, base, self.tip)).tests
        if not tests:
            self._tell(proof="no_tests")
            return
        ran = await self._run(base, max(left_s, 1.0), tests_from=(self.tip, tests))
        on_base = tuple(_check(one, on_base=True) for one in ran)
        green = all(one.exit_code == 0 for one in on_base)
        self._tell(checks=(*self.receipt.checks, *on_base), proof="green" if green else "red")

    def _is_fix(self) -> bool:
        issue = self._session.issue
        return words_of.speaks_of_a_fix(issue.title if issue else "", *self.receipt.commits)

    async def _run(
        self, commit: str, within_s: float, tests_from: tuple[str, tuple[str, ...]] | None = None
    ) -> list[Ran]:
        assert self._confine is not None
        return await run_clean(
            self._trusted,
            commit,
            self._repository.verify,
            self._confine,
            environment=self._environment,
            deadline_s=within_s,
            tests_from=tests_from,
        )

    # ── offered ──────────────────────────────────────────────────────────
    async def offer(self) -> None:
        """Have one pull request, a few times if need be; trouble goes into the receipt."""
        if not self.receipt.pushed:
            return
        try:
            await _patiently(self.offer_once)
        except ForgeError as error:
            _log.warning("pull_request.refused", session=self._session.id, kind=error.kind, error=str(error))
            self._put_off(error)

    def _is_round(self) -> bool:
        """Whether the turn answers what came from the pull request, which is about more than that."""
        phase = self._session.phase
        return isinstance(phase, Shipping) and bool(phase.turn.review)

    async def offer_once(self) -> None:
        """Open or update the pull request, where there is a forge. Raises ForgeError."""
        if (github := self._forge.github(self._repository)) is not None:
            issue = self._session.issue
            offered = await github.offer(
                self._place.branch,
                self.receipt.base,
                title=words_of.pull_request_title(issue, self.receipt),
                body=words_of.pull_request_summary(issue, self._words),
                facts=words_of.pull_request_facts(self._words, self.receipt, later=self._is_round()),
                keep=self._is_round(),
            )
            self._tell(pull_request=offered.url)
        await self._trusted.keep(shipped_ref(self._session.id), self.tip)

    def refused(self, error: ForgeError) -> str:
        """What people read of a refusal: of the push as long as that is not through, else of the pull request."""
        kind, said, name, branch = error.kind, str(error), self._repository.name, self._place.branch
        if not self.receipt.pushed:
            return wording.shipping.push_refused(kind, said, name, branch, later=error.retryable)
        base = self.receipt.base
        return wording.shipping.pull_request_refused(kind, said, name, branch, base, later=error.retryable)

    def _put_off(self, error: ForgeError) -> None:
        self._tell(trouble=self.refused(error), later=error.retryable, later_s=error.retry_after_s or 0.0)

    def out_of_time(self) -> None:
        """The deadline came: what is not done yet is told as not done, and is tried later."""
        told = wording.shipping.not_finished_in_time(pushed=self.receipt.pushed)
        self._tell(trouble=told, later=bool(self.tip))

    def _tell(self, **fields: object) -> None:
        self.receipt = replace(self.receipt, **fields)


async def _patiently(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try what may pass again, shortly."""
    for pause_s in PAUSES_S:
        try:
            await attempt()
        except ForgeError as error:
            if not error.retryable or (error.retry_after_s or 0.0) > pause_s:
                raise
        else:
            return
        await asyncio.sleep(pause_s)
    await attempt()


def _check(ran: Ran, *, on_base: bool = False) -> Check:
    return Check(
        command=ran.command, exit_code=ran.exit_code, took_s=ran.took_s, output=ran.output[-2_000:], on_base=on_base
    )

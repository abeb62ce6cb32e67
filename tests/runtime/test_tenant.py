"""Who we are in Linear: learnt when Linear answers, remembered over restarts, asked for lazily."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from dragoman.errors import LedgerError, LinearError
from dragoman.ids import OrganizationId, UserId
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.identity import Viewer
from dragoman.runtime import tenant as tenant_module
from dragoman.runtime.tenant import Tenant
from tests.runtime.waiting import until

StartTenant = Callable[["PretendLinear"], Tenant]
OURS, FOREIGN = OrganizationId("ours"), OrganizationId("foreign")


class PretendLinear:
    """Answers `viewer` as it is told to: down, slow, or with who we are."""

    def __init__(self, *, down: int = 0, organization: OrganizationId = OURS) -> None:
        self.down = down
        self.organization = organization
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def viewer(self) -> Viewer:
        self.asked += 1
        await self.answering.wait()
        if self.asked <= self.down:
            raise LinearError("Linear cannot be reached", retry_after_s=0.01)
        return Viewer(
            id=UserId("app"),
            name="OpenCode",
            display_name="opencode",
            url="",
            organization=self.organization,
            url_key="a",
        )


@pytest.fixture
async def started(ledger: SqliteLedger) -> AsyncIterator[StartTenant]:
    async with AsyncExitStack() as stack:

        def start(linear: PretendLinear) -> Tenant:
            made = Tenant(linear, ledger)  # type: ignore[arg-type]  # it asks Linear one thing only
            task = asyncio.create_task(made.run())

            async def end() -> None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            stack.push_async_callback(end)
            return made

        yield start


@pytest.fixture(autouse=True)
def first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_module, "FIRST_LOOK_S", 0.1)
    monkeypatch.setattr(tenant_module, "backoff", lambda _attempts, _asked: 0.01)


async def test_it_learns_who_we_are(started: StartTenant) -> None:
    tenant = started(PretendLinear())
    await until(lambda: tenant.organization)
    assert (tenant.organization, tenant.app_user) == (OURS, "app")
    assert await tenant.is_ours(OURS) is True
    assert await tenant.is_ours(FOREIGN) is False


async def test_while_linear_is_down_nothing_is_known_and_it_goes_on_trying(started: StartTenant) -> None:
    linear = PretendLinear(down=3)
    tenant = started(linear)
    assert await tenant.is_ours(OURS) is None
    await until(lambda: tenant.organization)
    assert linear.asked == 4
    assert await tenant.is_ours(FOREIGN) is False


async def test_a_delivery_waits_for_a_slow_first_look_only_so_long(started: StartTenant) -> None:
    linear = PretendLinear()
    linear.answering.clear()
    tenant = started(linear)
    assert await tenant.is_ours(OURS) is None
    linear.answering.set()
    await until(lambda: tenant.organization)
    assert await tenant.is_ours(OURS) is True


async def test_whoever_reads_a_delivery_knows_who_we_are_if_linear_tells_in_time(
    started: StartTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_module, "FIRST_LOOK_S", 30.0)
    linear = PretendLinear()
    linear.answering.clear()
    tenant = started(linear)
    reading = asyncio.create_task(tenant.looked_up())
    await until(lambda: linear.asked)
    assert not reading.done()
    linear.answering.set()
    await reading
    assert tenant.app_user == "app"


async def test_what_was_learnt_serves_after_a_restart_while_linear_is_down(started: StartTenant) -> None:
    first = started(PretendLinear())
    await until(lambda: first.organization)
    linear = PretendLinear(down=10**6)
    again = started(linear)
    await until(lambda: linear.asked)
    assert await again.is_ours(OURS) is True
    assert await again.is_ours(FOREIGN) is False
    assert (again.app_user, again.names) == ("app", ("OpenCode", "opencode"))
    await until(lambda: again.trouble)  # an operator sees it, although work goes on
    assert first.trouble == ""


async def test_another_token_makes_another_organization_ours(started: StartTenant) -> None:
    first = started(PretendLinear())
    await until(lambda: first.organization)
    other = started(PretendLinear(organization=FOREIGN))
    await until(lambda: other.organization == FOREIGN)
    assert await other.is_ours(OURS) is False


async def test_a_ledger_that_cannot_keep_it_does_not_matter(
    started: StartTenant, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise LedgerError("disk I/O error")

    monkeypatch.setattr(ledger, "turn", failing)
    monkeypatch.setattr(ledger, "read", failing)
    tenant = started(PretendLinear())
    await until(lambda: tenant.organization == OURS)

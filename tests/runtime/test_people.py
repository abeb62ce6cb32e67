"""What Linear shall show, when Linear's quota is low."""

from __future__ import annotations

import pytest

from dragoman.ids import SessionId
from dragoman.ledger import effects
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import open_linear
from dragoman.linear.quota import Quota
from dragoman.runtime.performers.people import People
from dragoman.runtime.workers import Pointless
from tests.builders import HOST, a_fleeting_post
from tests.runtime.lanes import queue


async def test_a_fleeting_activity_that_the_quota_has_no_room_for_is_given_back_undone(ledger: SqliteLedger) -> None:
    linear = open_linear("http://127.0.0.1:9", access_token="token", client_id="", client_secret="")
    try:
        linear.governor.answered(Quota(limit=100, remaining=10))
        await queue(ledger, a_fleeting_post("reads a file"))
        [claimed] = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
        with pytest.raises(Pointless):
            await People(linear, ledger, _no_link).perform(claimed)
    finally:
        await linear.close()


def _no_link(_: SessionId) -> None:
    return None

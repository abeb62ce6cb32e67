from __future__ import annotations

import pytest

from tests.core.diagram import PAGE, arrows, drawing, in_page

pytestmark = pytest.mark.timeout(600)  # the walk is seconds of work, and a busy machine has many such tests at a time


def test_the_diagram_in_the_design_is_the_machines() -> None:
    """If it is not: python -m tests.core.diagram"""
    assert in_page(PAGE.read_text(encoding="utf-8")) == drawing()


def test_the_walk_finds_the_main_road_and_no_way_round_it() -> None:
    found = arrows()
    assert found["Resting", "Starting"] == {"SessionOpened", "Prompted", "ReviewReceived"}
    assert "RunStarted" in found["Starting", "Working"]
    assert "RunSettled" in found["Working", "Resting"]
    assert found["Working", "Stopping"] >= {"StopRequested", "Withdrawn", "RunStalled", "RunRetrying", "PatienceOver"}
    assert found["Stopping", "Resting"] == {"RunAborted", "StopDue"}
    assert ("Resting", "Working") not in found
    assert ("Stopping", "Working") not in found

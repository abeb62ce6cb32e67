"""Marks for single cases of a test."""

from __future__ import annotations

from typing import Any

import pytest


def deep(*values: Any) -> Any:
    """One case of a parametrized test that runs with --deep only: like its siblings, and as slow."""
    return pytest.param(*values, marks=pytest.mark.deep)

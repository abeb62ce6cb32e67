"""The base of every value that is stored, queued or compared."""

from __future__ import annotations

from typing import dataclass_transform

from msgspec import Struct


# Type checkers do not inherit `frozen` from a Struct base: this says it once for all subclasses.
@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """An immutable value, tagged with its class name, so that unions of records decode by themselves.

    Defaults are left out when encoded: stored sessions stay small, and a field added later decodes from an old row.
    """

"""What every table of the settings is: strict, closed to unknown keys, never changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of edge.toml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

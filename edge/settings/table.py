"""The base of every settings table: strict types, no unknown keys, immutable. Defines no key."""

from __future__ import annotations

from pydantic import AfterValidator, BaseModel, ConfigDict


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which the name of no file has")
    return text


NO_NUL = AfterValidator(_without_nul)
"""For text that is passed to the system as a file name."""


class Table(BaseModel):
    """A table of edge.toml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

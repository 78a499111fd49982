"""What every table of the settings is: strict, closed to unknown keys, never changed."""

from __future__ import annotations

from pydantic import AfterValidator, BaseModel, ConfigDict


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which the name of no file has")
    return text


NO_NUL = AfterValidator(_without_nul)
"""Of a text that the system is given as the name of a file."""


class Table(BaseModel):
    """A table of edge.toml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

"""Makes docs/configuration.md from the settings' own types, so that the two cannot disagree. Reads no settings file."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import BaseModel

from edge.settings import DEFAULT_PATH, Settings

_HEAD = f"""# Configuration

Made by `edge config docs` from `edge/settings/`; a test compares.

The settings are in `{DEFAULT_PATH}`, a file of [TOML](https://toml.io). What is not in it has its default, so the program works
with an empty file, or with none. Types are strict: an unknown key, a text where a number belongs, or a number out of range is an error
that names the key, and the command ends (exit code 4). The daemon reads the file when it starts. After a change:
`sudo systemctl restart facelatch`.

```sh
edge config show                       # every setting in force, and what the policy makes of the model's rates
edge config show > edge.toml           # a file to begin with
edge config show --config edge.toml    # is this file right?
edge doctor --config edge.toml         # and does it fit this machine?
```

A command's `--camera` and `--model` replace `camera.source` and `model.path` for that command only. No setting is a threshold:
`policy.target_fmr` names an operating point of the model, and the model carries the threshold with the counts it was measured on.
"""
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "string": "text",
    "array": "list of texts",
    "object": "table of numbers by name",
}
_LIMITS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def as_markdown() -> str:
    """The page: a section for each table, a row for each key."""
    definitions: dict[str, Any] = Settings.model_json_schema()["$defs"]
    parts = [_HEAD]
    for table, field in Settings.model_fields.items():
        kind = field.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            raise TypeError(f"{table}: {kind} is no table of settings")
        lines = [f"## [{table}]", f"{inspect.getdoc(kind)}", "", "| key | default | allowed | meaning |", "|---|---|---|---|"]
        for key, schema in definitions[kind.__name__]["properties"].items():
            default = json.dumps(schema.get("default", {}), ensure_ascii=False)
            meaning = str(schema.get("description", "")).replace("|", "\\|")
            lines.append(f"| `{key}` | `{default}` | {_allowed(_resolved(schema, definitions))} | {meaning} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return schema if reference is None else definitions[reference.rsplit("/", 1)[1]] | schema


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    limits = [f"{word} {_number(schema[name])}" for name, word in _LIMITS.items() if name in schema]
    pattern = [f"`{schema['pattern']}`".replace("|", "\\|")] if "pattern" in schema else []
    return " ".join([_KINDS[schema["type"]], *limits, *pattern])


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"

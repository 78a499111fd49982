"""The package's copyright file: the project's own part, and an entry for every wheel from its metadata. Judges no licence."""

from __future__ import annotations

from email.message import Message
from email.parser import Parser
from pathlib import Path

PRIVATE = Path("usr/lib/facelatch")


def copyright_text(own: str, packages: Path) -> str:
    """`own`, followed by the name, version, licence and path of the licence text of every package in the folder `packages`."""
    lines = [own.rstrip(), ""]
    for info in sorted(packages.glob("*.dist-info")):
        metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"), headersonly=True)
        texts = [path for path in sorted(info.rglob("*")) if path.is_file() and _is_licence(path, metadata)]
        lines += [f"{metadata['Name']} {metadata['Version']}", f"  Licence: {_licence(metadata)}"]
        lines += [f"  Text: /{PRIVATE / path.relative_to(packages)}" for path in texts] or ["  Text: none in the wheel"]
        lines.append("")
    return "\n".join(lines)


def _licence(metadata: Message) -> str:
    classified = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    # Some packages put the whole licence into the field; its first line is the name.
    field = str(metadata.get("License-Expression") or metadata.get("License") or "").strip().partition("\n")[0]
    return field or ", ".join(classified) or "not told by its metadata"


def _is_licence(path: Path, metadata: Message) -> bool:
    named = {Path(name).name for name in metadata.get_all("License-File", [])}
    return path.name in named or path.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))

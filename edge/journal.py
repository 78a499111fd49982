"""Writes events to the systemd journal, in native fields, or to stderr if there is none. Never writes a picture or an embedding.

A score is written with an accept only: with denials it would help an attacker to climb towards a match (hill climbing).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TextIO

from edge.policy import Denial, Grant
from edge.reasons import ADVICE, Reason
from edge.systemd import JOURNAL_SOCKET, journal_sender


class Event(Enum):
    """A kind of event: its name, its MESSAGE_ID, and its syslog priority."""

    STARTED = ("started", "f41e5bc5ffce4ff8aa585876e09290af", 5)
    STOPPED = ("stopped", "27bf5cb01ecd47e8a571088ec2c2000f", 5)
    ACCEPT = ("accept", "4b0816ddd9284d558838e628c029fcd3", 5)
    DENY = ("deny", "b4c6168992544a8c8ba7b2aae46f5645", 5)
    LOCKED_OUT = ("locked-out", "9d3f15206d1d4eb799fed26d3adf015e", 4)
    DISABLED = ("disabled", "3d98247e20fb41faa621f841a8b3e0e1", 3)
    CAMERA_STARTING = ("camera-starting", "375176722d204a4eb6eb3f814b290d6e", 6)
    CAMERA_DARK = ("camera-dark", "c55a78766a5d4ef686a7779713c1c608", 5)
    CAMERA_RUNNING = ("camera-running", "b394c4f0034349ffabec17995f56ca22", 6)
    CAMERA_STALLED = ("camera-stalled", "916c0ac936654b018bc3deb7be1d55c0", 4)
    CAMERA_BUSY = ("camera-busy", "cbadc44f73fd4de0ad6989538264423a", 4)
    CAMERA_CLOSED = ("camera-closed", "e0cb85f603f54cdebf28b9e753ff3ed1", 6)
    CAMERA_LOST = ("camera-lost", "5909de09b4694f3c904c10fedcc49122", 4)
    GALLERY_LOADED = ("gallery-loaded", "7b5e5f162bcb4c1ba9f20f103cebc7bb", 6)
    GALLERY_REFUSED = ("gallery-refused", "9cb613cf232c4107990191189753f9d7", 3)
    ENROLLED = ("enrolled", "1f7ee28d190744dd92eff873240cbc9a", 5)
    REMOVED = ("removed", "e8b1229432b64c04beea9d39204bb876", 5)
    ACTION_DONE = ("action-done", "8c69419ba0b548cbbabc7b92da373273", 6)
    ACTION_FAILED = ("action-failed", "267a52d84f484c708be1da1cec2e8225", 3)
    ACTION_SKIPPED = ("action-skipped", "78baa426afe64ec3b540a4a25c0cb688", 5)
    LOCKOUT_CLEARED = ("lock-out-cleared", "33dbc0b30ac6477f87d26584ddb075bb", 5)
    QUIET_BEGAN = ("quiet-began", "3d7cc6fe106f475187f3a7adb06701b2", 5)
    QUIET_ENDED = ("quiet-ended", "5c62c1bf4b004af8974bf8ea282e978b", 5)
    BUS_LOST = ("bus-lost", "a262b0c8511f4f76b31dd58c2bc00275", 4)
    BUS_JOINED = ("bus-joined", "cf3a533941ef482790d671026c655555", 6)
    BUS_NAME_TAKEN = ("bus-name-taken", "acfcfa851eb94973bcdea706e24d2cb3", 4)
    METRICS_BROKEN = ("metrics-broken", "f00bbdeab27f40bda096bea2adcc0dda", 4)
    LOCKOUT_BROKEN = ("lock-out-broken", "a592e03877064d869674f16d3f726690", 3)
    ASKED = ("asked", "5b0f6d5b3c7e4a1f9d2e8c6a7f4b1e03", 6)

    def __init__(self, label: str, message_id: str, priority: int) -> None:
        self.label, self.message_id, self.priority = label, message_id, priority


# The only fields that leave the process, each written with the prefix FACELATCH_.
FIELDS = frozenset(
    {
        "SUBJECT", "REASON", "SCORE", "FRAMES", "COST_MS", "LATENCY_MS", "LOCKED_S", "OPERATING_POINT", "MODEL_ID", "RUNTIME",
        "CAMERA", "SUBJECTS", "ERROR", "ACTION",
    }
)  # fmt: skip


class Journal:
    """Where events go; chosen once. `copy` also gets each event, as one line of JSON."""

    def __init__(self, copy: TextIO | None = None) -> None:
        self._send = journal_sender()
        self._copy = copy
        self._broken = False
        self.listeners: list[Callable[[Event, dict[str, object]], None]] = []

    def log(self, event: Event, message: str, **fields: object) -> None:
        """Writes one event. If neither the journal nor stderr takes it, it is lost and the caller goes on.

        Raises:
            ValueError: a field is not in FIELDS, or a score comes with something other than an accept.
        """
        unknown = set(fields) - FIELDS
        if unknown or ("SCORE" in fields and event is not Event.ACCEPT):
            raise ValueError(f"{event.label}: fields {sorted(fields)} may not be logged")
        for listener in self.listeners:
            listener(event, fields)
        if self._copy is not None:
            values = {key.lower(): value for key, value in fields.items()}
            _write(json.dumps({"event": event.label, "message": message, **values}), self._copy)
        if self._send is not None:
            prefixed = {f"FACELATCH_{key}": str(value) for key, value in fields.items()}
            try:
                self._send(
                    message,
                    MESSAGE_ID=event.message_id,
                    PRIORITY=str(event.priority),
                    SYSLOG_IDENTIFIER="facelatch",
                    FACELATCH_EVENT=event.label,
                    **prefixed,
                )
                self._broken = False
                return
            except OSError as error:
                if not self._broken:
                    _write(f"{JOURNAL_SOCKET}: cannot write: {error}; events follow here", sys.stderr)
                self._broken = True
        text = " ".join(f"{key.lower()}={value}" for key, value in fields.items())
        _write(f"{event.label}: {message}" + (f"  [{text}]" if text else ""), sys.stderr)

    def log_decision(self, decision: Grant | Denial, *, operating_point: str, cost_ms: float) -> None:
        """Writes an accept or a denial; `cost_ms` is the last frame's."""
        common = {"FRAMES": decision.frames, "OPERATING_POINT": operating_point, "COST_MS": f"{cost_ms:.1f}"}
        if decision.took_s is not None:
            common["LATENCY_MS"] = f"{decision.took_s * 1000 + cost_ms:.0f}"
        if isinstance(decision, Grant):
            self.log(
                Event.ACCEPT, f"accepted {decision.subject}", SUBJECT=decision.subject, SCORE=f"{decision.score:.4f}", **common
            )
            return
        self.log(Event.DENY, f"denied: {ADVICE[decision.reason]}", REASON=decision.reason.value, **common)
        if math.isinf(decision.locked_s):
            self.log(Event.DISABLED, ADVICE[Reason.DISABLED])
        elif decision.locked_s:
            self.log(Event.LOCKED_OUT, f"locked out for {decision.locked_s:.0f} s", LOCKED_S=f"{decision.locked_s:.0f}")


def _write(line: str, stream: TextIO | None) -> None:
    """Writes one line if it can: a reader that left (journald takes the stderr it holds with it) must not end the judging."""
    if stream is not None:  # None if the stream was closed before Python started; print() would then write to stdout
        with suppress(OSError, ValueError):  # ValueError: closed since
            print(line, file=stream, flush=True)

"""Settings from the match to the decision and its action: policy, intent, liveness, action. Decides nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from edge.quiet import Span
from edge.settings.table import NO_NUL, Table

FASTEST_FPS = 30
SUBJECT = "[a-z0-9][a-z0-9_.-]{0,31}"
"""The pattern of a subject's name."""


class PolicySettings(Table):
    """When a match becomes a decision."""

    target_fmr: Annotated[
        float, Field(gt=0, lt=1, description="how often two strangers may match: one of the model's measured operating points")
    ] = 1e-3
    subject_fmr: dict[Annotated[str, Field(pattern=f"^{SUBJECT}$")], float] = Field(
        default_factory=dict,
        description="a stricter operating point for single subjects, such as { ada = 1e-4 }; never a looser one",
    )
    allow_failed_gate: Annotated[bool, Field(description="accept a model that missed a gate of its export")] = False
    matches: Annotated[int, Field(ge=1, le=100, description="k: this many frames must match the same subject")] = 3
    frames: Annotated[int, Field(ge=1, le=100, description="n: out of this many judged frames")] = 10
    window_s: Annotated[float, Field(gt=0, le=60, description="frames older than this no longer count")] = 5.0
    rearm_s: Annotated[float, Field(ge=0, le=3600, description="rest after an accept")] = 5.0
    lockout_failures: Annotated[int, Field(ge=1, le=100, description="this many denials in a row begin the lock-out")] = 5
    lockout_s: Annotated[float, Field(ge=30, le=86400, description="rest after that denial and each further one")] = 30.0
    disable_failures: Annotated[
        int, Field(ge=1, le=100, description="denials in a row after which only `edge unlock-out` helps")
    ] = 50

    quiet_hours: Annotated[
        tuple[str, ...], Field(strict=False, description='local times in which nobody is granted, such as ["22:00-06:00"]')
    ] = ()

    @field_validator("quiet_hours")
    @classmethod
    def _are_spans(cls, spans: tuple[str, ...]) -> tuple[str, ...]:
        for span in spans:
            Span.parse(span)
        return spans

    @model_validator(mode="after")
    def _consistent(self) -> PolicySettings:
        for name, fmr in self.subject_fmr.items():
            if not 0 < fmr <= self.target_fmr:
                raise ValueError(
                    f"subject_fmr.{name} = {fmr:g}: must be above 0 and not looser than target_fmr = {self.target_fmr:g}"
                )
        if self.matches > self.frames:
            raise ValueError(f"matches = {self.matches} of frames = {self.frames}: must not be more")
        if (self.matches - 1) / FASTEST_FPS > self.window_s:
            raise ValueError(
                f"window_s = {self.window_s:g}: no camera gives matches = {self.matches} frames in so short a time"
            )
        if self.disable_failures <= self.lockout_failures:
            raise ValueError("disable_failures must be more than lockout_failures")
        return self

    def rest_after(self, failures: int) -> float:
        """How many seconds nothing is judged after this many failures without an accept."""
        return self.lockout_s if failures >= self.lockout_failures else 0.0


class IntentKind(StrEnum):
    """What must come before a face is judged."""

    NONE = "none"
    BUTTON = "button"
    CALL = "call"


class OwnIntent(StrEnum):
    """What must come before a verification that somebody asks for, whose call is one already."""

    SAME = "same"
    NONE = "none"
    BUTTON = "button"


class IntentSettings(Table):
    """What a person must do before a face is judged, so that walking past opens nothing."""

    kind: Annotated[
        IntentKind,
        Field(
            strict=False,
            description="what must come before the door judges: none, button (on a pin) or call (`edge attempt`)",
        ),
    ] = IntentKind.NONE
    bus: Annotated[
        OwnIntent,
        Field(
            strict=False,
            description="what must come before a verification on the bus, such as `edge verify`: same (a button if kind is button), "
            "none or button",
        ),
    ] = OwnIntent.SAME
    fprintd: Annotated[
        OwnIntent, Field(strict=False, description="the same for fprintd's clients: PAM, login screens, the fprintd-* tools")
    ] = OwnIntent.SAME
    pin: Annotated[str, Field(description="gpiozero's name of the button's pin, such as GPIO27; it pulls to ground")] = ""
    window_s: Annotated[float, Field(gt=0, le=120, description="how long faces are judged after the button or call")] = 10.0

    @model_validator(mode="after")
    def _complete(self) -> IntentSettings:
        if self.wants_button and not self.pin:
            raise ValueError("kind, bus or fprintd = button needs pin")
        return self

    @property
    def wants_button(self) -> bool:
        """Whether anything waits for a press of the button."""
        return self.kind is IntentKind.BUTTON or OwnIntent.BUTTON in (self.bus, self.fprintd)


class ChallengeKind(StrEnum):
    """What a person must do, beyond matching."""

    NONE = "none"
    HEAD_TURN = "head-turn"


class LivenessSettings(Table):
    """A challenge between the match and the grant; what it is worth is in docs/liveness.md."""

    challenge: Annotated[
        ChallengeKind, Field(strict=False, description="none, or head-turn: a turn of the head to a side chosen at random")
    ] = ChallengeKind.NONE
    turns: Annotated[int, Field(ge=1, le=4, description="how many turns, each to a side chosen at random")] = 2
    turn: Annotated[
        float,
        Field(
            ge=0.08,
            le=0.25,
            description="how far to turn: the nose beside the middle of the eyes, as a share of their distance",
        ),
    ] = 0.12
    timeout_s: Annotated[float, Field(ge=2, le=60, description="seconds for the whole challenge")] = 10.0


class ActionKind(StrEnum):
    """What a grant sets off."""

    LOG = "log"
    COMMAND = "command"
    GPIO = "gpio"
    UNLOCK_SESSION = "unlock-session"


class ActionSettings(Table):
    """What a grant sets off beyond its line in the journal."""

    kind: Annotated[ActionKind, Field(strict=False, description="log, command, gpio or unlock-session")] = ActionKind.LOG
    argv: Annotated[
        tuple[Annotated[str, NO_NUL], ...],
        Field(strict=False, description="the command, word by word, without a shell; FACELATCH_SUBJECT says who was accepted"),
    ] = ()
    timeout_s: Annotated[float, Field(gt=0, le=60, description="a command that takes longer is ended, with all it started")] = (
        10.0
    )
    pin: Annotated[str, Field(description="gpiozero's name of the pin to pulse, such as GPIO17")] = ""
    # The longest pulse must end within the service's TimeoutStopSec=: a killed process leaves its pins as they are.
    pulse_s: Annotated[
        float, Field(gt=0, le=15, description="how long the pin is active; a stop of the daemon ends it early")
    ] = 3.0
    active_high: Annotated[bool, Field(description="false for a relay that closes when its pin is low")] = True
    user: Annotated[
        str, Field(pattern=r"^([a-z_][a-z0-9_-]*)?$", description="whose sessions are unlocked; empty: the subject's")
    ] = ""

    @model_validator(mode="after")
    def _complete(self) -> ActionSettings:
        if self.kind is ActionKind.COMMAND and not (self.argv and self.argv[0].startswith("/")):
            raise ValueError("kind = command needs argv, its first word an absolute path")
        if self.kind is ActionKind.GPIO and not self.pin:
            raise ValueError("kind = gpio needs pin")
        return self

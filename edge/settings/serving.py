"""Settings of the daemon among other programs, of enrolment and of what is stored on disk. Serves nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from edge.settings.table import NO_NUL, Table


class Mode(StrEnum):
    """When the daemon looks."""

    WATCH = "watch"
    ON_DEMAND = "on-demand"


class ServiceSettings(Table):
    """The daemon among other programs."""

    mode: Annotated[
        Mode,
        Field(
            strict=False, description="watch (a door: always looking) or on-demand (a desk: the camera is closed until asked)"
        ),
    ] = Mode.WATCH
    bus: Annotated[bool, Field(description="answer as io.facelatch on the system bus, if there is one")] = True
    linger_s: Annotated[float, Field(ge=0, le=60, description="on-demand: how long the camera stays open for the next try")] = (
        2.0
    )
    idle_exit_s: Annotated[
        float,
        Field(ge=0, le=86400, description="on-demand: end after so long without a caller; the bus starts it again; 0: never"),
    ] = 0.0
    refuse_remote: Annotated[
        bool, Field(description="refuse to verify whoever came over the network (SSH), in a session or not")
    ] = True


class CompatSettings(Table):
    """Other programs' ways to ask."""

    fprintd: Annotated[
        bool,
        Field(description="answer as net.reactivated.Fprint, too, so that pam_fprintd and the fprintd-* tools take a face"),
    ] = False


class MetricsSettings(Table):
    """Figures for Prometheus."""

    file: Annotated[
        str, Field(pattern=r"^(/.*\.prom)?$", description="a file for node_exporter's textfile collector; empty: none"), NO_NUL
    ] = ""
    every_s: Annotated[float, Field(ge=1, le=3600, description="seconds from one writing of the file to the next")] = 15.0


class EnrolmentSettings(Table):
    """How a subject is enrolled."""

    anchors: Annotated[int, Field(ge=5, le=50, description="templates kept of each enrolment")] = 8
    timeout_s: Annotated[float, Field(ge=5, le=600, description="seconds of frames after which an enrolment is given up")] = (
        60.0
    )
    consent_text: Annotated[
        str,
        Field(
            description="what a person is told before the first frame, or the absolute path of a file with the words; {name}, {folder} and "
            "{encrypted} are filled in; empty: the program's own words"
        ),
        NO_NUL,
    ] = ""


class Encryption(StrEnum):
    """Where the key to the templates is."""

    NONE = "none"
    FILE = "file"
    CREDENTIAL = "credential"


class GallerySettings(Table):
    """How templates lie on the disk."""

    encrypt: Annotated[
        Encryption,
        Field(
            strict=False,
            description="none, file or credential. Encryption protects against whoever takes the card or a copy of it, if the key is "
            "elsewhere. It does not protect against root, nor on a running device. A Pi has no TPM: systemd-creds keeps its key on the "
            "card, too",
        ),
    ] = Encryption.NONE
    key_file: Annotated[
        str,
        Field(
            pattern=r"^(/.*)?$", description="encrypt = file: the key, mode 0400, best not on this card; `edge gallery-key new`"
        ),
        NO_NUL,
    ] = ""
    credential: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", description="encrypt = credential: the name of the key in the unit file"
        ),
    ] = "gallery-key"

    @model_validator(mode="after")
    def _complete(self) -> GallerySettings:
        if self.encrypt is Encryption.FILE and not self.key_file:
            raise ValueError("encrypt = file needs key_file")
        return self

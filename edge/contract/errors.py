"""Every exception of the project, with its stable code and exit status. Raises nothing and prints nothing.

FacelatchError
├── InputError (ValueError)            a picture, folder, run or argument that cannot be used
│   └── NameRejected                   a subject name outside the allowed pattern
├── SettingsError (ValueError)         a key of a configuration file
├── ModelError (ValueError)            a model file that cannot be used
│   ├── ModelDamaged                   its bytes are not what was written
│   ├── ModelUnsupported               its schema or chip contract has another version
│   └── ModelUnproven                  its measurements do not support what is asked of it
├── GateMissed (ValueError)            an export whose own check failed
├── GalleryError (ValueError)          a store of templates that cannot be used
│   ├── TemplateMismatch               templates made by another model
│   └── GalleryKeyError                encrypted templates without the key to them
│       ├── KeyMissing                 it is not there
│       ├── KeyUnusable                it is not a key, or others can read it
│       └── KeyWrong                   the templates were encrypted with another key
├── CameraError (OSError)              a source of frames that gives none
│   ├── CameraBusy                     another program holds the device
│   ├── CameraFrozen                   the camera repeats one picture
│   └── CameraWedged                   the driver does not return from a read
├── BusRefused (PermissionError)        the daemon refuses a request on the bus
├── ActionFailed (RuntimeError)         the action of a grant did not happen
│   └── ActionBusy                     the action of an earlier grant is still running
├── EnrolmentFailed (ValueError)       FTE: not enough good frames, or not the same person in all of them
│   ├── FaceKnown                      the face is enrolled under another name
│   ├── TemplatesFull                  the subject already has the largest number of templates
│   └── EnrolmentStopped               the caller or the daemon ended it first
├── WorkerLost (RuntimeError)          another process of a distributed training is gone
├── StorageError (OSError)             a disk that is full, read-only or unreadable
└── PackageMissing (ImportError)       an optional package that the command needs
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command."""

    OK = 0
    DENIED = 1
    FAILED = 1  # of `edge doctor`: an alias, with the number of DENIED
    USAGE = 2
    INPUT = 3
    SETTINGS = 4
    MODEL = 5
    GALLERY = 6
    CAMERA = 7
    ENROLMENT = 8
    STORAGE = 9
    PACKAGE = 10
    REFUSED = 11
    INTERNAL = 70
    INTERRUPTED = 130


class FacelatchError(Exception):
    """Something is broken or unusable. The text says what, with which value, and what to do about it."""

    code = "error"
    exit_code = ExitCode.INTERNAL


class InputError(FacelatchError, ValueError):
    """A picture, folder, run or argument cannot be used."""

    code = "input"
    exit_code = ExitCode.INPUT


class NameRejected(InputError):
    """A subject name does not match the allowed pattern."""

    code = "name"


class SettingsError(FacelatchError, ValueError):
    """A configuration key is unknown, of the wrong type or out of range."""

    code = "settings"
    exit_code = ExitCode.SETTINGS


class ModelError(FacelatchError, ValueError):
    """A model file cannot be used."""

    code = "model"
    exit_code = ExitCode.MODEL


class ModelDamaged(ModelError):
    """The bytes of a model file are not those that were written."""

    code = "model-damaged"


class ModelUnsupported(ModelError):
    """A model file follows a schema or chip contract that this version does not know."""

    code = "model-unsupported"


class ModelUnproven(ModelError):
    """A model's measurements do not support the requested operating point."""

    code = "model-unproven"


class GateMissed(FacelatchError, ValueError):
    """An exported model does not agree with the model it was made from."""

    code = "gate"
    exit_code = ExitCode.MODEL


class GalleryError(FacelatchError, ValueError):
    """The store of templates cannot be used."""

    code = "gallery"
    exit_code = ExitCode.GALLERY


class TemplateMismatch(GalleryError):
    """Templates were made by another model."""

    code = "template-mismatch"


class GalleryKeyError(GalleryError):
    """Encrypted templates cannot be opened without their key."""

    code = "key"


class KeyMissing(GalleryKeyError):
    """The key that the settings name does not exist, or they name none."""

    code = "key-missing"


class KeyUnusable(GalleryKeyError):
    """The key file holds no key, cannot be read, or can be read by others."""

    code = "key-unusable"


class KeyWrong(GalleryKeyError):
    """Templates were encrypted with another key."""

    code = "key-wrong"


class CameraError(FacelatchError, OSError):
    """A source of frames gives none."""

    code = "camera"
    exit_code = ExitCode.CAMERA


class CameraBusy(CameraError):
    """Another program holds the camera."""

    code = "camera-busy"


class CameraFrozen(CameraError):
    """The camera repeats one picture."""

    code = "camera-frozen"


class CameraWedged(CameraError):
    """A camera's driver does not return from a read."""

    code = "camera-wedged"


class BusRefused(FacelatchError, PermissionError):
    """The daemon refuses a request on the bus."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class ActionFailed(FacelatchError, RuntimeError):
    """The action of a grant did not happen."""

    code = "action"
    exit_code = ExitCode.SETTINGS


class ActionBusy(ActionFailed):
    """A grant had no effect, because the action of an earlier one is still running."""

    code = "action-busy"


class EnrolmentFailed(FacelatchError, ValueError):
    """A subject could not be enrolled (FTE)."""

    code = "enrolment"
    exit_code = ExitCode.ENROLMENT


class FaceKnown(EnrolmentFailed):
    """A face is enrolled under another name."""

    code = "duplicate"


class TemplatesFull(EnrolmentFailed):
    """A subject already has the largest number of templates."""

    code = "full"


class EnrolmentStopped(EnrolmentFailed):
    """An enrolment was ended before its templates were stored."""

    code = "stopped"


class WorkerLost(FacelatchError, RuntimeError):
    """Another process of a distributed training is gone."""

    code = "worker"
    exit_code = ExitCode.INPUT


class StorageError(FacelatchError, OSError):
    """A disk is full, read-only or unreadable."""

    code = "storage"
    exit_code = ExitCode.STORAGE


class PackageMissing(FacelatchError, ImportError):
    """A command needs an optional package that is not installed."""

    code = "package"
    exit_code = ExitCode.PACKAGE

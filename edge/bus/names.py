"""The daemon's names on the bus, in a module of their own: a client needs nothing else of the device."""

from __future__ import annotations

NAME = "io.facelatch"
MANAGER_PATH = "/io/facelatch/Manager"
DEVICE_PATH = "/io/facelatch/Device/0"
DEVICE = f"{NAME}.Device"
ERRORS = f"{NAME}.Error"

"""What the daemon is called on the bus. A module of its own: who only calls it needs nothing else of the device."""

from __future__ import annotations

NAME = "io.facelatch"
MANAGER_PATH = "/io/facelatch/Manager"
DEVICE_PATH = "/io/facelatch/Device/0"
DEVICE = f"{NAME}.Device"
ERRORS = f"{NAME}.Error"

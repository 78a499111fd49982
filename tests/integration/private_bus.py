"""A private system bus, with stand-ins for the two services that the daemon asks: polkit and logind."""

# ruff: noqa: F722, F821 - annotations of bus methods are signatures
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def private_bus(folder: Path) -> Iterator[str]:
    """Runs a dbus-daemon that processes of other users can reach, too. Yields its address."""
    (folder / "bus.conf").write_text(_CONFIG.format(folder=folder))
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--print-address=1"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stdout is not None
        address = daemon.stdout.readline().strip()
        assert address, "dbus-daemon did not start"
        os.chmod(folder / "bus", 0o777)
        yield address
    finally:
        daemon.terminate()
        daemon.wait(10)


@contextmanager
def stand_ins(address: str, *, allowed: str, remote: bool, after_s: float = 0.0) -> Iterator[None]:
    """Runs a polkit that answers after `after_s` and authorises only the actions in `allowed` (separated by commas), and a logind whose
    sessions are `remote` or not.
    """
    words = [sys.executable, __file__, allowed, "remote" if remote else "here", str(after_s)]
    process = subprocess.Popen(words, env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": address}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.terminate()
        process.wait(10)


async def _serve(allowed: set[str], remote: bool, after_s: float) -> None:
    from dbus_fast import BusType, PropertyAccess
    from dbus_fast.aio import MessageBus
    from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

    class PolicyKit(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.freedesktop.PolicyKit1.Authority")

        @dbus_method()
        async def CheckAuthorization(  # noqa: N802
            self,
            subject: "(sa{sv})",
            action: s,
            details: "a{ss}",
            flags: u,
            cancellation: s,
        ) -> "(bba{ss})":
            await asyncio.sleep(after_s)
            return [action in allowed, False, {}]

    class Logind(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.freedesktop.login1.Manager")

        @dbus_method()
        def GetSessionByPID(self, pid: u) -> o:  # noqa: N802
            return "/org/freedesktop/login1/session/_1"

    class Session(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.freedesktop.login1.Session")

        @dbus_property(access=PropertyAccess.READ)
        def Remote(self) -> b:  # noqa: N802
            return remote

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.export("/org/freedesktop/PolicyKit1/Authority", PolicyKit())
    bus.export("/org/freedesktop/login1", Logind())
    bus.export("/org/freedesktop/login1/session/_1", Session())
    await bus.request_name("org.freedesktop.PolicyKit1")
    await bus.request_name("org.freedesktop.login1")
    print("ready", flush=True)
    await bus.wait_for_disconnect()


if __name__ == "__main__":
    asyncio.run(_serve(set(sys.argv[1].split(",")), sys.argv[2] == "remote", float(sys.argv[3])))

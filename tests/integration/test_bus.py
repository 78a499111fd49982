"""The daemon on a real bus: commands go through it, other programs call it, and unauthorised callers are refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

import tests.integration.private_bus as bus_of_tests
from tests.conftest import ADA, BOB, EVE, MODEL
from tests.integration.private_bus import private_bus, stand_ins

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon: apt install dbus")

Clip = Callable[[int, int], Path]
SETTINGS = """
[camera]
source = "{camera}"
[model]
path = "{model}"
[detection]
min_face_px = 60
[service]
mode = "{mode}"
linger_s = 0.0
idle_exit_s = {idle_exit_s}
refuse_remote = {refuse_remote}
[compat]
fprintd = true
"""


@dataclass
class Desk:
    """A running daemon, and commands on the same bus."""

    home: Path
    address: str
    camera: Path
    daemon: subprocess.Popen[bytes]

    def show(self, clip: Path) -> None:
        """Makes the camera show another clip from the next time it is opened; no camera if the clip does not exist."""
        self.camera.unlink(missing_ok=True)
        if clip.exists():
            self.camera.symlink_to(clip)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on this bus."""
        environment = {key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"}
        environment |= {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "XDG_STATE_HOME": str(self.home / "nobody")}
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def edge(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs an `edge` command on this bus."""
        return self.run(sys.executable, "-m", "edge", *words)

    def edge_as_nobody(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs an `edge` command as a user without rights, who need not be able to read this Python installation."""
        return self.run(sys.executable, "-c", AS_NOBODY, *words)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.home / "events").read_text().splitlines()]


@contextmanager
def desk(
    folder: Path,
    mode: str = "on-demand",
    *,
    refuse_remote: bool = False,
    idle_exit_s: float = 0.0,
    address: str = "",
    more: str = "",
) -> Iterator[Desk]:
    folder.chmod(0o755)
    (folder / "state").mkdir()
    camera = folder / "camera.avi"
    with nullcontext(address) if address else private_bus(folder) as address, (folder / "events").open("w") as events:
        asks = {"mode": mode, "refuse_remote": str(refuse_remote).lower(), "idle_exit_s": idle_exit_s}
        text = SETTINGS.format(camera=camera, model=MODEL, **asks) + more
        (folder / "edge.toml").write_text(text)
        environment = os.environ | {"STATE_DIRECTORY": str(folder / "state"), "DBUS_SYSTEM_BUS_ADDRESS": address}
        words = [sys.executable, "-m", "edge", "run", "--json", "--config", str(folder / "edge.toml")]
        daemon = subprocess.Popen(words, env=environment, stdout=events, stderr=(folder / "daemon.log").open("w"))
        found = Desk(folder, address, camera, daemon)
        try:
            until(lambda: "bus-joined" in [event["event"] for event in found.events()])
            yield found
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0


def until(holds: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_frames_that_are_judged_on_demand_are_in_the_figures(tmp_path: Path, clip: Clip) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    file = tmp_path / "facelatch.prom"

    def judged() -> float:
        lines = file.read_text().splitlines() if file.exists() else []
        return next((float(line.split()[1]) for line in lines if line.startswith("facelatch_frame_seconds_count ")), -1.0)

    with desk(tmp_path, more=f'[metrics]\nfile = "{file}"\nevery_s = 1.0\n') as at:
        at.show(clip(ADA, 1))
        assert at.edge("enroll", "ada").returncode == 0
        until(lambda: judged() == 0)  # frames of an enrolment are not judged
        at.show(clip(ADA, 2))
        verified = at.edge("verify", "ada", "--json")
        assert verified.returncode == 0, verified.stderr
        until(lambda: judged() >= json.loads(verified.stdout)["frames"] > 0)


def test_commands_go_through_the_daemon(tmp_path: Path, clip: Clip) -> None:
    own_point = "[policy]\ntarget_fmr = 0.01\nsubject_fmr = { ada = 0.001 }\n"
    with desk(tmp_path, more=own_point) as at:
        at.show(clip(ADA, 1))
        enrolled = at.edge("enroll", "ada", "--json")
        assert enrolled.returncode == 0, enrolled.stderr
        told = json.loads(enrolled.stdout)
        assert told["templates"] == sum(told["poses"].values()) == 8
        assert "looking for frames: straight" in enrolled.stderr
        assert enrolled.stderr.startswith("Before ada is enrolled:")
        assert "/var/lib/facelatch/gallery on this device" in enrolled.stderr
        assert (told["recognised"], told["fnmr"], told["fnmr_interval"][0]) == (told["checked"], 0.0, 0.0)
        assert "at fmr-0.001:" in told["check"]
        assert [path.name for path in (tmp_path / "state/gallery").glob("*.faces")] == ["ada.faces"]
        assert at.edge("enroll", "ada").returncode == 3
        at.show(clip(ADA, 2))
        told = at.edge("verify", "ada", "--json")
        assert (told.returncode, json.loads(told.stdout)["subject"]) == (0, "ada"), told.stderr
        assert json.loads(told.stdout)["operating_point"] == "fmr-0.001"
        anyone = at.edge("verify", "--json")
        assert (anyone.returncode, json.loads(anyone.stdout)["accepted"]) == (0, True)
        assert at.edge("verify", "").returncode == 3  # an unset variable in a script must not mean anyone
        at.show(clip(EVE, 1))
        stranger = at.edge("verify", "ada", "--json")
        assert (stranger.returncode, json.loads(stranger.stdout)["reason"]) == (1, "no-match")
        at.show(tmp_path / "unplugged")
        assert at.edge("verify", "ada").returncode == 7
        assert at.edge("verify", "bob").returncode == 3
        status = json.loads(at.edge("status", "--json").stdout)
        assert (status["enrolled"], status["mode"], status["camera"]) == (1, "on-demand", "lost")
        assert status["operating_point"] == "fmr-0.01"
        assert at.edge("remove", "ada").returncode == 0
        assert list((tmp_path / "state/gallery").glob("*.faces")) == []
        told_events = [event["event"] for event in at.events()]
        assert [name for name in told_events if name in ("enrolled", "accept", "deny", "removed")] == [
            "enrolled", "accept", "accept", "deny", "removed",
        ]  # fmt: skip
        assert told_events.count("camera-closed") >= 3


def test_an_enrolment_is_told_frame_by_frame_in_numbers(tmp_path: Path, clip: Clip) -> None:
    """The data of the live view: the pose, the counts, every gate and the face's box; nothing that identifies the person."""
    with desk(tmp_path) as at:
        at.show(clip(ADA, 1))
        done = at.run(sys.executable, "-c", WATCH)
        assert done.returncode == 0, done.stderr
        *heard, last = [json.loads(line) for line in done.stdout.splitlines()]
        assert {key for details in heard for key in details} == {
            "result", "text", "reason", "subject", "have", "want", "sentence", "poses", "gates", "frame", "face",
        }  # fmt: skip
        good = [details for details in heard if details["result"] == "progress"]
        assert len(good) > 20
        for details in good:
            assert [gate for gate, *_ in details["gates"]] == ["brightness", "contrast", "sharpness", "face size", "turn"]
            assert all(isinstance(number, float) for _, *numbers in details["gates"] for number in numbers)
            assert all(0 <= share <= 1 for share in details["face"])
            assert details["frame"][0] == pytest.approx(320 / 240)
            assert [pose for pose, *_ in details["poses"]] == ["straight", "left", "right"]
            assert sum(want for _, _, want, _ in details["poses"]) == details["want"] == 32
        assert good[-1]["have"] > good[0]["have"]
        assert heard[0]["sentence"] == "looking for frames: straight"
        assert last["result"] == "enrolled"
        assert sum(last["templates"].values()) == last["have"] == 8
        assert not {"poses", "gates", "face"} & set(last)


def test_an_enrolment_that_is_ended_keeps_nothing(tmp_path: Path, clip: Clip) -> None:
    """Ended by its caller once there are enough good frames, for a new and for a replaced subject; and by a daemon that stops."""
    with desk(tmp_path) as at:
        at.show(clip(ADA, 1))
        stopped = at.run(sys.executable, "-c", STOP_AT, "new")
        assert stopped.returncode == 0, stopped.stderr
        assert json.loads(stopped.stdout) == {"have": 13, "stopped": True}
        assert at.edge("enroll", "ada").returncode == 0
        before = (tmp_path / "state/gallery/ada.faces").read_bytes()
        assert at.run(sys.executable, "-c", STOP_AT, "replace").returncode == 0
        # The next job waits until the one before has ended.
        assert at.edge("verify", "ada").returncode == 0
        assert (tmp_path / "state/gallery/ada.faces").read_bytes() == before
        assert [event["event"] for event in at.events()].count("enrolled") == 1


def test_a_name_of_fprintds_that_is_taken_is_waited_for(tmp_path: Path, clip: Clip) -> None:
    with private_bus(tmp_path) as address:
        own = subprocess.Popen(
            [sys.executable, "-c", OWN],
            env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": address},
            stdout=subprocess.PIPE,
        )
        assert own.stdout is not None
        assert own.stdout.readline() == b"owned\n"
        with desk(tmp_path, address=address) as at:
            until(lambda: "bus-name-taken" in [event["event"] for event in at.events()])
            assert at.edge("status").returncode == 0, "io.facelatch answers all the same"
            own.kill()
            own.wait()
            until(lambda: [event["event"] for event in at.events()].count("bus-joined") == 2)


def test_a_claim_keeps_the_daemon_from_leaving(tmp_path: Path, clip: Clip) -> None:
    with desk(tmp_path, idle_exit_s=1.0) as at:
        held = subprocess.Popen(
            [sys.executable, "-c", HOLD], env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": at.address}, stdout=subprocess.PIPE
        )
        assert held.stdout is not None
        assert held.stdout.readline() == b"claimed\n"
        time.sleep(2.0)
        assert "stopped" not in [event["event"] for event in at.events()]
        held.kill()
        held.wait()
        assert at.daemon.wait(20) == 0, "it leaves when nobody holds it any more"


def test_who_is_asked_for_a_password_keeps_the_daemon_from_leaving() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to call as another user")
    folder = Path(tempfile.mkdtemp(prefix="facelatch-"))  # another user may enter it
    # `idle_exit_s` is longer than a busy machine takes to start the caller.
    with desk(folder, idle_exit_s=4.0) as at, stand_ins(at.address, allowed="io.facelatch.manage", remote=False, after_s=8.0):
        told = at.run(sys.executable, "-c", AS_NOBODY_CALLS, "ListEnrolled", "")
        assert told.stdout == "[[]]\n"
        assert at.daemon.wait(20) == 0


def test_a_bus_that_refuses_fprintds_name_leaves_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = bus_of_tests._CONFIG.replace("</policy>", '<deny own="net.reactivated.Fprint"/></policy>')
    monkeypatch.setattr(bus_of_tests, "_CONFIG", refusing)
    with desk(tmp_path) as at:
        until(lambda: "bus-name-taken" in [event["event"] for event in at.events()])
        assert at.edge("status").returncode == 0, "io.facelatch answers all the same"
        assert "bus-lost" not in [event["event"] for event in at.events()]


def test_a_huge_name_does_not_cut_the_daemon_off(tmp_path: Path) -> None:
    """Quoted in an error message the name would be four times as long. The bus disconnects whoever sends more than it carries."""
    with desk(tmp_path) as at:
        told = at.run(sys.executable, "-c", HUGE)
        assert told.returncode == 0, told.stderr
        assert [name.rpartition(".")[2] for name in told.stdout.split()] == ["InvalidArgs"] * 2 + ["UnknownMethod"] * 2
        assert "bus-lost" not in [event["event"] for event in at.events()]
        assert at.edge("status").returncode == 0


def test_a_huge_message_takes_no_more_memory_than_it_is_long(tmp_path: Path) -> None:
    """Eight million numbers of four bytes each: as Python objects they took 570 MB, and the service may use 512 MB."""

    def most_kb() -> int:
        lines = Path(f"/proc/{at.daemon.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    with desk(tmp_path) as at:
        before = most_kb()
        told = at.run(sys.executable, "-c", MANY)
        assert told.stdout == "answered\n", told.stderr
        assert most_kb() - before < 32_000
        assert at.edge("status").returncode == 0


def test_who_is_refused_and_wants_no_answer_fills_no_journal(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        told = at.run(sys.executable, "-c", UNANSWERED)
        assert told.stdout == "ada is nobody\n", told.stderr
        assert "Traceback" not in (tmp_path / "daemon.log").read_text()


def test_another_programs_word_on_a_face_is_none(tmp_path: Path, clip: Clip) -> None:
    """Anyone on the bus may send a signal to anyone."""
    with desk(tmp_path) as at:
        at.show(clip(ADA, 1))
        assert at.edge("enroll", "ada").returncode == 0
        at.show(clip(EVE, 1))
        forger = subprocess.Popen(
            [sys.executable, "-c", FORGE], env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": at.address}, stdout=subprocess.PIPE
        )
        try:
            assert forger.stdout is not None
            assert forger.stdout.readline() == b"ready\n"
            told = at.edge("verify", "ada", "--json")
        finally:
            forger.kill()
            forger.wait()
        assert (told.returncode, json.loads(told.stdout)["reason"]) == (1, "no-match"), told.stderr


def test_an_attempt_that_nothing_waits_for_is_refused(tmp_path: Path, clip: Clip) -> None:
    with desk(tmp_path) as at:
        refused = at.edge("attempt")
        assert refused.returncode == 11
        assert "no door waits for this call" in refused.stderr


def test_only_the_finger_that_is_listed_is_there(tmp_path: Path, clip: Clip) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with desk(tmp_path) as at:
        at.show(clip(ADA, 1))
        assert at.edge("enroll", user).returncode == 0
        told = json.loads(at.run(sys.executable, "-c", FINGERS, user).stdout)
        none = "net.reactivated.Fprint.Error.NoEnrolledPrints"
        assert told == {
            "stages before": -1,
            "stages": 8,
            "delete left-thumb": none,
            "verify left-thumb": none,
            "delete nose": "net.reactivated.Fprint.Error.InvalidFingername",
            "list": ["right-index-finger"],
            "as another": "enroll-duplicate",
        }


def test_a_client_of_fprintds_follows_what_changes(tmp_path: Path, clip: Clip) -> None:
    """The library of most clients reads the properties once and then relies on the change signals. So does this client."""
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with desk(tmp_path) as at:
        at.show(clip(ADA, 1))
        assert at.edge("enroll", user).returncode == 0
        told = at.run(sys.executable, "-c", FOLLOW, user)
        assert json.loads(told.stdout) == [
            "claim", {"num-enroll-stages": 8},
            "verify", {"finger-needed": True}, {"finger-needed": False},
            "release", {"num-enroll-stages": -1},
        ], told.stderr  # fmt: skip


def test_a_caller_without_authorisation_is_refused_by_name(tmp_path: Path, clip: Clip) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to call as another user")
    folder = Path(tempfile.mkdtemp(prefix="facelatch-"))  # another user may enter it
    with desk(folder, refuse_remote=True) as at:
        at.show(clip(ADA, 1))
        assert at.edge("enroll", "ada").returncode == 0
        refused = at.edge_as_nobody("verify", "ada")
        assert refused.returncode == 11
        assert "polkit cannot be asked" in refused.stderr
        assert "polkit cannot be asked" in at.run(sys.executable, "-c", AS_NOBODY_CALLS, "Claim", "s", "nobody").stdout
        with stand_ins(at.address, allowed="io.facelatch.verify,io.facelatch.manage", remote=True):
            remote = at.edge_as_nobody("verify", "ada")
            assert remote.returncode == 11
            assert "over the network" in remote.stderr
            assert at.edge_as_nobody("list", "--json").stdout == '{"subjects": [{"subject": "ada"}]}\n'
        with stand_ins(at.address, allowed="io.facelatch.verify,io.facelatch.enroll", remote=False):
            known = at.edge_as_nobody("enroll", "nobody", "--consent")
            assert (known.returncode, "ada" in known.stderr) == (8, False), known.stderr
            assert "enrolled already" in known.stderr
        with stand_ins(at.address, allowed="io.facelatch.verify,io.facelatch.manage", remote=False):
            at.show(clip(ADA, 2))
            assert at.edge_as_nobody("verify", "ada").returncode == 0
            assert at.edge_as_nobody("enroll", "eve").returncode == 11
            assert at.edge_as_nobody("remove", "ada").returncode == 0
            assert "deny" not in [event["event"] for event in at.events()]


def test_a_bus_that_is_lost_is_told_once_and_joined_again(tmp_path: Path, clip: Clip) -> None:
    (tmp_path / "state").mkdir()
    text = SETTINGS.format(camera=clip(EVE, 1), model=MODEL, mode="watch", refuse_remote="false", idle_exit_s=0.0)
    (tmp_path / "edge.toml").write_text(text.replace("[camera]", '[camera]\nreplay = "loop"'))
    words = [sys.executable, "-m", "edge", "run", "--json", "--config", str(tmp_path / "edge.toml")]
    with (tmp_path / "events").open("w") as events, (tmp_path / "daemon.log").open("w") as log:
        with private_bus(tmp_path) as address:
            environment = os.environ | {"STATE_DIRECTORY": str(tmp_path / "state"), "DBUS_SYSTEM_BUS_ADDRESS": address}
            daemon = subprocess.Popen(words, env=environment, stdout=events, stderr=log)
            at = Desk(tmp_path, f"unix:path={tmp_path}/bus", clip(EVE, 1), daemon)
            until(lambda: "bus-joined" in [event["event"] for event in at.events()])
        until(lambda: "bus-lost" in [event["event"] for event in at.events()])
        (tmp_path / "bus").unlink(missing_ok=True)
        with private_bus(tmp_path):
            until(lambda: [event["event"] for event in at.events()].count("bus-joined") == 2)
            assert json.loads(at.edge("status", "--json").stdout)["camera"] == "running"
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
    assert [event["event"] for event in at.events()].count("bus-lost") == 1
    assert "Task was destroyed" not in (tmp_path / "daemon.log").read_text()


def test_a_vanished_caller_releases_its_claim(tmp_path: Path, clip: Clip) -> None:
    with desk(tmp_path) as at:
        at.show(clip(BOB, 1))
        words = [sys.executable, "-c", HOLD]
        holder = subprocess.Popen(words, env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": at.address}, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"claimed\n"
        taken = at.edge("verify", "ada")
        assert taken.returncode == 11
        assert "AlreadyInUse" in taken.stderr
        holder.kill()
        holder.wait()
        until(lambda: at.edge("verify", "ada").returncode == 3)


HUGE = """
import asyncio
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
PATH, DEVICE = "/net/reactivated/Fprint/Device/0", "net.reactivated.Fprint.Device"
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    for interface, member, signature, body in (
        (DEVICE, "VerifyStart", "s", [chr(1) * 9_000]),
        ("org.freedesktop.DBus.Properties", "Get", "ss", [DEVICE, "a" * 9_000]),
        (DEVICE, "VerifyStart", "s", [chr(1) * 9_000_000]),
        ("org.freedesktop.DBus.Properties", "Get", "ss", [DEVICE, "a" * 9_000_000]),
    ):
        answer = await bus.call(Message("net.reactivated.Fprint", PATH, interface, member, signature=signature, body=body))
        print(answer.error_name)
asyncio.run(main())
"""
MANY = """
import asyncio, struct
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
async def main():
    bus, answered = await MessageBus(bus_type=BusType.SYSTEM).connect(), asyncio.Event()
    bus.add_message_handler(lambda message: answered.set() if message.reply_serial == 77 else None)
    where = ("io.facelatch", "/io/facelatch/Device/0", "io.facelatch.Device")
    empty = bytes(Message(*where, "Claim", signature="av", body=[[]], serial=77)._marshall(False))
    head = empty[:4] + struct.pack("<I", 4 + 32_000_000) + empty[8:-4]
    await asyncio.get_running_loop().sock_sendall(bus._sock, head + struct.pack("<I", 32_000_000) + b"\\1y\\0\\7" * 8_000_000)
    await asyncio.wait_for(answered.wait(), 40)
    print("answered")
asyncio.run(main())
"""
UNANSWERED = """
import asyncio
from dbus_fast import BusType, Message, MessageFlag
from dbus_fast.aio import MessageBus
where, device = ("io.facelatch", "/io/facelatch/Device/0"), "io.facelatch.Device"
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    for interface, member in ((device, "VerifyStop"), (device, "Attempt"), ("org.freedesktop.DBus.Properties", "Nothing")):
        await bus.send(Message(*where, interface, member, flags=MessageFlag.NO_REPLY_EXPECTED))
    known = await bus.call(Message(*where, device, "IsEnrolled", signature="s", body=["ada"]))
    print("ada is nobody" if known.body == [False] else known.body)
asyncio.run(main())
"""
FORGE = """
import asyncio
from dbus_fast import BusType, Message, Variant
from dbus_fast.aio import MessageBus
BUS, DEVICE = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"), "io.facelatch.Device"
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    async def names():
        return set((await bus.call(Message(*BUS, "ListNames"))).body[0])
    known = await names()
    print("ready", flush=True)
    while True:
        for name in await names() - known:
            details = {"subject": Variant("s", "ada"), "score": Variant("d", 0.99)}
            path = "/io/facelatch/Device/0"
            match = Message.new_signal(path, DEVICE, "VerifyStatus", "sba{sv}", ["match", True, details])
            left = Message.new_signal(BUS[1], BUS[2], "NameOwnerChanged", "sss", ["io.facelatch", ":1.0", ""])
            for told in (match, left):
                told.destination = name
                bus.send(told)
        await asyncio.sleep(0.01)
asyncio.run(main())
"""
WATCH = """
import json
from edge.bus.client import ask
def heard(result, details):
    print(json.dumps({"result": result, **details}))
print(json.dumps(ask(lambda daemon: daemon.enrol("ada", "new", heard))))
"""
STOP_AT = """
import asyncio, json, sys
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    enough, have = asyncio.Event(), 0
    def heard(message):
        nonlocal have
        if message.member == "EnrollStatus" and not enough.is_set():
            have = message.body[2].get("have").value if "have" in message.body[2] else have
            if have == 13:
                enough.set()
    bus.add_message_handler(heard)
    async def call(member, signature="", *body):
        where = ("io.facelatch", "/io/facelatch/Device/0", "io.facelatch.Device")
        answer = await bus.call(Message(*where, member, signature=signature, body=list(body)))
        assert not answer.error_name, answer.body
    await call("Claim", "s", "ada")
    await call("EnrollStart", "s", sys.argv[1])
    await asyncio.wait_for(enough.wait(), 30)
    await call("EnrollStop")
    print(json.dumps({"have": have, "stopped": True}))
asyncio.run(main())
"""
OWN = """
import asyncio
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await bus.request_name("net.reactivated.Fprint")
    print("owned", flush=True)
    await bus.wait_for_disconnect()
asyncio.run(main())
"""
FINGERS = """
import asyncio, json, sys
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
PATH, DEVICE = "/net/reactivated/Fprint/Device/0", "net.reactivated.Fprint.Device"
async def main():
    bus, told, done = await MessageBus(bus_type=BusType.SYSTEM).connect(), {}, asyncio.Event()
    def heard(message):
        if message.member == "EnrollStatus" and message.body[1]:
            told["as another"] = message.body[0]
            done.set()
    bus.add_message_handler(heard)
    async def call(member, signature="", *body, interface=DEVICE):
        answer = await bus.call(Message("net.reactivated.Fprint", PATH, interface, member, signature=signature, body=list(body)))
        return answer.error_name or (answer.body[0] if answer.body else None)
    async def stages():
        return (await call("Get", "ss", DEVICE, "num-enroll-stages", interface="org.freedesktop.DBus.Properties")).value
    told["stages before"] = await stages()
    await call("Claim", "s", sys.argv[1])
    told["stages"] = await stages()
    told["delete left-thumb"] = await call("DeleteEnrolledFinger", "s", "left-thumb")
    told["verify left-thumb"] = await call("VerifyStart", "s", "left-thumb")
    told["delete nose"] = await call("DeleteEnrolledFinger", "s", "nose")
    told["list"] = await call("ListEnrolledFingers", "s", sys.argv[1])
    await call("Release")
    await call("Claim", "s", "zoe")
    await call("EnrollStart", "s", "right-index-finger")
    await asyncio.wait_for(done.wait(), 40)
    print(json.dumps(told))
asyncio.run(main())
"""
FOLLOW = """
import asyncio, json, sys
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
PATH, DEVICE, PROPERTIES = "/net/reactivated/Fprint/Device/0", "net.reactivated.Fprint.Device", "org.freedesktop.DBus.Properties"
async def main():
    bus, told, done = await MessageBus(bus_type=BusType.SYSTEM).connect(), [], asyncio.Event()
    def heard(message):
        if message.message_type is MessageType.SIGNAL and message.member == "PropertiesChanged" and message.body[0] == DEVICE:
            told.append({name: value.value for name, value in message.body[1].items()})
            if told[-1] == {"finger-needed": False}:
                done.set()
    bus.add_message_handler(heard)
    async def call(member, signature="", *body, to="net.reactivated.Fprint", path=PATH, interface=DEVICE):
        answer = await bus.call(Message(to, path, interface, member, signature=signature, body=list(body)))
        assert not answer.error_name, answer.body
    rule = f"type='signal',interface='{PROPERTIES}',member='PropertiesChanged'"
    own = "org.freedesktop.DBus"
    await call("AddMatch", "s", rule, to=own, path="/org/freedesktop/DBus", interface=own)
    async def say(what, *words):
        told.append(what)
        await call(*words)
    await say("claim", "Claim", "s", sys.argv[1])
    await say("verify", "VerifyStart", "s", "any")
    await asyncio.wait_for(done.wait(), 30)
    await call("VerifyStop")
    await say("release", "Release")
    print(json.dumps(told))
asyncio.run(main())
"""
AS_NOBODY = """
import os, sys
import asyncio, edge.cli.people, edge.cli.judging, edge.cli.serving, edge.cli.guide, edge.bus.native, dbus_fast.aio, facelatch
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv[0] = "edge"
facelatch.edge_main()
"""
AS_NOBODY_CALLS = """
import asyncio, os, sys
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    member, signature, *body = sys.argv[1:]
    where = ("io.facelatch", "/io/facelatch/Device/0", "io.facelatch.Device")
    print((await bus.call(Message(*where, member, signature=signature, body=body))).body)
asyncio.run(main())
"""
HOLD = """
import asyncio
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    call = Message("io.facelatch", "/io/facelatch/Device/0", "io.facelatch.Device", "Claim", signature="s", body=["ada"])
    answer = await bus.call(call)
    print("claimed" if not answer.error_name else answer.body, flush=True)
    await bus.wait_for_disconnect()
asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("fprintd-verify") is None, reason="no fprintd's tools: apt install fprintd")
def test_stock_fprintd_tools_take_a_face(tmp_path: Path, clip: Clip) -> None:
    user = os.environ.get("USER") or subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with desk(tmp_path) as at:
        none = at.run("fprintd-list", user)
        assert "has no fingers enrolled" in none.stdout, none.stdout + none.stderr
        at.show(clip(ADA, 1))
        enrolled = at.run("fprintd-enroll", user)
        assert "Enroll result: enroll-completed" in enrolled.stdout, enrolled.stdout + enrolled.stderr
        assert "right-index-finger" in at.run("fprintd-list", user).stdout
        at.show(clip(ADA, 2))
        assert "verify-match (done)" in at.run("fprintd-verify", user).stdout
        at.show(clip(EVE, 1))
        assert "verify-no-match (done)" in at.run("fprintd-verify", user).stdout
        assert at.run("fprintd-delete", user).returncode == 0
        assert "has no fingers enrolled" in at.run("fprintd-list", user).stdout


PAM = """
auth sufficient pam_fprintd.so max-tries=1 timeout=10
auth required pam_exec.so quiet expose_authtok {password}
account required pam_permit.so
"""


@pytest.mark.skipif(shutil.which("pamtester") is None or os.geteuid() != 0, reason="needs root and pamtester")
def test_pam_takes_a_face_and_the_password_always_follows(tmp_path: Path, clip: Clip) -> None:
    """Unmodified pam_fprintd: match, no match, nobody enrolled, camera gone, daemon dead."""
    (tmp_path / "pam.d").mkdir()
    password = tmp_path / "password"
    password.write_text("#!/bin/sh\n[ \"$(cat | tr -d '\\0')\" = secret ]\n")
    password.chmod(0o755)
    (tmp_path / "pam.d/facelatch-test").write_text(PAM.format(password=password))

    def login(at: Desk, typed: str) -> tuple[bool, str]:
        inside = f"mount --bind {tmp_path}/pam.d /etc/pam.d && exec pamtester facelatch-test root authenticate"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", inside],
            env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": at.address},
            input=f"{typed}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    with desk(tmp_path) as at:
        opened, told = login(at, "secret")
        assert opened, told
        assert "Password" in told
        assert "finger" not in told
        at.show(clip(ADA, 1))
        assert at.edge("enroll", "root").returncode == 0
        at.show(clip(ADA, 2))
        matched, told = login(at, "")
        assert matched, told
        assert "Password" not in told
        at.show(clip(EVE, 1))
        for typed, opened in (("secret", True), ("wrong", False)):
            matched, told = login(at, typed)
            assert matched is opened, told
            assert "Password" in told
        at.show(tmp_path / "unplugged")
        assert login(at, "secret")[0]
        assert not login(at, "wrong")[0]
    assert login(at, "secret")[0]

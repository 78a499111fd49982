"""Secrets on every path: the camera's password, the gallery's key and the numbers of a template. All output of the daemon and the
commands, the journal's entries and every message on the bus are recorded and searched for them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.camera.replay import Video
from edge.gallery import Gallery
from edge.keys import Keys
from edge.settings import load_settings
from tests.conftest import ADA, EVE, MODEL
from tests.integration.private_bus import private_bus

Clip = Callable[[int, int], Path]
JOURNALD = Path(__file__).parent / "journald.sh"
USER, PASSWORD, TOKEN = "camerauser", "hunter2-before-the-at", "hunter2-in-the-query"
IN_A_ROW = 5
FPS = 30
SETTINGS = """
[camera]
source = "{source}"
stall_s = 2.0
[model]
path = "{model}"
[detection]
min_face_px = 60
[policy]
rearm_s = 0.2
lockout_failures = 99
disable_failures = 100
[enrolment]
anchors = 5
[gallery]
encrypt = "file"
key_file = "{key}"
[service]
refuse_remote = false
[compat]
fprintd = true
"""
# Runs commands one after the other in one process, because starting Python costs more than most of them.
TYPE = """
import json, sys
import facelatch
for words, codes in json.loads(sys.argv[1]):
    sys.argv = ["edge", *words]
    try:
        facelatch.edge_main()
    except SystemExit as end:
        assert end.code in codes, (words, end.code)
    finally:
        sys.stdout.flush()
"""
# Enrols whoever stands there, over our interface (stopped early) and over fprintd's (until it ends), and reads all else there is.
ASK = """
import asyncio, sys
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus
NATIVE = ("io.facelatch", "/io/facelatch/Device/0", "io.facelatch.Device")
FPRINT = ("net.reactivated.Fprint", "/net/reactivated/Fprint/Device/0", "net.reactivated.Fprint.Device")
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    heard, done, begun = [], asyncio.Event(), asyncio.Event()
    def hear(message):
        if message.member in ("EnrollStatus", "VerifyStatus"):
            heard.append(message.body)
            begun.set()
            if message.body[1]:
                done.set()
    bus.add_message_handler(hear)
    async def call(where, member, signature="", *body, interface=None):
        path = Message(where[0], where[1], interface or where[2], member, signature=signature, body=list(body))
        return (await bus.call(path)).body
    for where in (NATIVE, FPRINT):
        print(await call(where, "Introspect", interface="org.freedesktop.DBus.Introspectable"))
        print(await call(where, "GetAll", "s", where[2], interface="org.freedesktop.DBus.Properties"))
    print(await call(NATIVE, "Status"), await call(NATIVE, "Attempt"), await call(NATIVE, "ListEnrolled"))
    print(await call(NATIVE, "Claim", "s", "bob"), await call(NATIVE, "EnrollStart", "s", "new"))
    await asyncio.wait_for(begun.wait(), 20)
    await asyncio.sleep(0.5)
    print(await call(NATIVE, "EnrollStop"), await call(NATIVE, "Release"))
    print(await call(FPRINT, "Claim", "s", "bob"), await call(FPRINT, "EnrollStart", "s", "right-index-finger"))
    await asyncio.wait_for(done.wait(), 40)
    print(await call(FPRINT, "Release"), heard)
asyncio.run(main())
"""


class Leaks:
    """The secrets, in every form in which they could be written."""

    def __init__(self, key: str, templates: NDArray[np.float32]) -> None:
        raw = bytes.fromhex(key)
        self._words = {
            "user of the camera": [USER],
            "password of the camera": [PASSWORD],
            "token of the camera": [TOKEN],
            "key": [key, base64.b64encode(raw).decode().rstrip("="), str(list(raw))[1:-1], repr(raw)[2:-1]],
            "template": [way for row in templates for way in (row.tobytes().hex()[:64], base64.b64encode(row).decode()[:40])],
        }
        self._rows = np.abs(templates.astype(np.float64))

    def found(self, text: str) -> list[str]:
        """Which secrets are in a text. Of a template, IN_A_ROW of its numbers in a row count, each within 1 %."""
        found = [what for what, ways in self._words.items() if any(way.lower() in text.lower() for way in ways)]
        numbers = np.array([float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)])
        numbers = numbers[np.isfinite(numbers)]
        if len(numbers) >= IN_A_ROW and self._in_a_row(np.lib.stride_tricks.sliding_window_view(numbers, IN_A_ROW)):
            found.append("numbers of a template")
        return found

    def _in_a_row(self, told: NDArray[np.float64]) -> bool:
        own = np.lib.stride_tricks.sliding_window_view(self._rows, IN_A_ROW, axis=1).reshape(-1, IN_A_ROW)
        own = own[(own > 1e-3).all(1) & (np.ptp(own, 1) > 0.02)]
        assert len(own) > 100, "too few numbers to search for"
        return any(np.isclose(told, row, rtol=0.01, atol=0).all(1).any() for row in own)


@contextmanager
def camera(frames: dict[int, list[bytes]]) -> Iterator[tuple[ThreadingHTTPServer, list[int]]]:
    """An MJPEG camera on loopback that requires its password and token. Yields it and a list: it shows the person in the list."""
    shown = [ADA]

    class Stream(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers["Authorization"] != wanted or TOKEN not in self.path:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while not server.gone:  # type: ignore[attr-defined]
                number, jpeg = number + 1, frames[shown[0]][number % len(frames[shown[0]])]
                try:
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
                except OSError:
                    return
                time.sleep(1 / FPS)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    server.gone = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server, shown
    finally:
        _off(server)


def _off(server: ThreadingHTTPServer) -> None:
    server.gone = True  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def _until(holds: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"{what}: it did not happen in time"
        time.sleep(0.05)


def test_what_is_searched_for_would_be_found() -> None:
    key, templates = secrets.token_hex(32), np.random.default_rng(3).normal(0, 1, (3, 64)).astype(np.float32)
    leaks, row = Leaks(key, templates), templates[1]
    rounded = " ".join(f"{number:.3f}" for number in row[20:26])
    for planted in (
        f"http://{USER}@cam", PASSWORD, f"?t={TOKEN}", key.upper(), repr(bytes.fromhex(key)), str(row.tolist()), str(row[:9]),
        rounded, row.tobytes().hex(), base64.b64encode(row.tobytes()).decode(),
    ):  # fmt: skip
        assert leaks.found(f"deny: denied at 0.5 [{planted}]"), planted
    assert leaks.found("accept: 1 2 3 4 5 0.25 0.5 0.75 0.9812 17.3 http://127.0.0.1:8080/live") == []


@pytest.mark.skipif(shutil.which("dbus-monitor") is None, reason="no dbus-monitor: apt install dbus")
@pytest.mark.parametrize("journald", [True, False], ids=["journal", "stderr"])
def test_no_secret_is_in_the_journal_on_stderr_or_on_the_bus(tmp_path: Path, clip: Clip, journald: bool) -> None:
    can = os.geteuid() == 0 and Path("/lib/systemd/systemd-journald").exists() and find_spec("systemd") is not None
    if journald is not can:
        pytest.skip("needs root, systemd-journald and systemd-python" if journald else "searched with the journal already")
    frames = {
        who: [cv2.imencode(".jpg", frame.pixels)[1].tobytes() for frame in Video(clip(who, 1)).frames() if frame]
        for who in (ADA, EVE)
    }
    state, key_file, told = tmp_path / "state", tmp_path / "gallery.key", list[str]()
    state.mkdir()
    key = secrets.token_hex(32)
    key_file.write_text(key + "\n")
    key_file.chmod(0o400)
    with private_bus(tmp_path) as address, camera(frames) as (server, shown):
        source = f"http://{USER}:{PASSWORD}@127.0.0.1:{server.server_port}/live?token={TOKEN}"
        config = tmp_path / "edge.toml"
        config.write_text(SETTINGS.format(source=source, model=MODEL, key=key_file))
        apart = os.environ | {"STATE_DIRECTORY": str(state), "DBUS_SYSTEM_BUS_ADDRESS": address}
        asking = {name: value for name, value in apart.items() if name != "STATE_DIRECTORY"}
        asking["XDG_STATE_HOME"] = str(tmp_path / "nobody")

        def ran(*words: str, environment: dict[str, str] = asking) -> None:
            done = subprocess.run(
                [sys.executable, "-c", *words], env=environment, capture_output=True, text=True, timeout=90, check=False
            )
            told.append(done.stdout + done.stderr)
            assert done.returncode == 0, (words, told[-1])

        def typed_all(*commands: tuple[tuple[str, ...], tuple[int, ...]], environment: dict[str, str] = asking) -> None:
            ran(TYPE, json.dumps(commands), environment=environment)

        def typed(*words: str, environment: dict[str, str] = asking, codes: tuple[int, ...] = (0,)) -> None:
            typed_all((words, codes), environment=environment)

        with_config = ("--config", str(config))
        typed("enroll", "ada", "--camera", str(clip(ADA, 1)), *with_config, environment=apart)
        settings = load_settings(config)
        templates = Gallery(state, Keys(settings.gallery, state)).read("ada").templates
        leaks = Leaks(key, templates)
        whole_bus = subprocess.Popen(
            ["dbus-monitor", "--address", address], stdout=(tmp_path / "bus.txt").open("w"), stderr=subprocess.STDOUT
        )
        script = (
            f"{sys.executable} -m edge run --json --config {config} & echo $! >{tmp_path}/pid; "
            f"code=0; wait $! || code=$?; {f'journalctl --sync; journalctl -o json --all >{tmp_path}/journal; ' if journald else ''}"
            "exit $code"
        )
        daemon = subprocess.Popen(
            [*([JOURNALD] if journald else []), "bash", "-c", script],
            env=apart,
            stdout=(tmp_path / "events").open("w"),
            stderr=(tmp_path / "stderr").open("w"),
        )

        def events() -> list[str]:
            return [json.loads(line)["event"] for line in (tmp_path / "events").read_text().splitlines()]

        def heard(event: str, times: int = 1) -> None:
            _until(lambda: events().count(event) >= times, f"{event}: {events()}")

        heard("accept")
        pid = int((tmp_path / "pid").read_text())
        try:
            typed_all(
                (("status",), (0,)),
                (("status", "--json"), (0,)),
                (("list",), (0,)),
                (("verify", "ada"), (0,)),
                (("verify", "nobody"), (3,)),
                (("attempt",), (11,)),
                (("doctor", *with_config), (0, 1)),
                (("doctor", "--json", *with_config), (0, 1)),
            )
            ran(ASK)
            shown[0] = EVE
            typed("verify", "ada", codes=(1,))
            heard("deny")
            shown[0] = ADA
            whole = (state / "gallery/ada.faces").read_bytes()
            for broken in (secrets.token_hex(32), key[:-2], key + "zz", "", key):
                refused = events().count("gallery-refused")
                key_file.chmod(0o600)
                key_file.write_text(broken)
                key_file.chmod(0o400)
                os.kill(pid, signal.SIGHUP)
                if broken != key:
                    heard("gallery-refused", refused + 1)
                    typed("verify", "ada", codes=(11,))
            key_file.chmod(0o444)
            refused = events().count("gallery-refused")
            os.kill(pid, signal.SIGHUP)
            heard("gallery-refused", refused + 1)
            key_file.chmod(0o400)
            (state / "gallery/ada.faces").write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
            typed("verify", "ada", codes=(11,))
            (state / "gallery/ada.faces").write_bytes(whole)
            _off(server)
            heard("camera-lost")
            typed("verify", "ada", *with_config, environment=apart, codes=(7,))
            typed_all((("verify", "ada"), (7,)), (("status",), (0,)), (("remove", "ada"), (0,)))
        finally:
            os.kill(pid, signal.SIGTERM)
            assert daemon.wait(20) == 0
            whole_bus.terminate()
            whole_bus.wait(10)
        whole_file = SETTINGS.format(source="{source}", model=MODEL, key=key_file)
        files = list[tuple[str, tuple[int, ...]]]()
        for wrong in (f"htps://{USER}:{PASSWORD}@cam/live?token={TOKEN}", f"rtsp://{USER}:{PASSWORD}/x@cam/{TOKEN}"):
            files.append((whole_file.format(source=wrong).replace("stall_s = 2.0", "stall_s = 1.0"), (4, 7)))
            for good, bad in (("source =", "sorce ="), ("[camera]", "[camera]\nmore = 1"), (f'"{key_file}"', f'"{key}"')):
                assert good in whole_file
                files.append((whole_file.format(source=wrong).replace(good, bad), (4,)))
        enrolments = []
        for number, (text, codes) in enumerate(files):
            other = tmp_path / f"other-{number}.toml"
            other.write_text(text)
            enrolments.append((("enroll", "bob", "--config", str(other)), codes))
        typed_all((("status", *with_config), (11,)), *enrolments, environment=apart)
    if journald:
        entries = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
        ours = [entry["FACELATCH_EVENT"] for entry in entries if "FACELATCH_EVENT" in entry]
        assert {"accept", "deny", "gallery-refused", "camera-lost"} <= set(ours)
        assert ours == events()
    bus = (tmp_path / "bus.txt").read_text()
    assert all(member in bus for member in ("VerifyStatus", "EnrollStatus", "member=Status"))
    searched = {
        name: (tmp_path / name).read_text() for name in ("events", "stderr", "bus.txt", *(["journal"] if journald else []))
    }
    searched |= {f"command {number}": text for number, text in enumerate(told)}
    assert {name: leaks.found(text) for name, text in searched.items()} == {name: [] for name in searched}
    assert "http://127.0.0.1:" in searched["events"], "the camera is named, without what is secret"

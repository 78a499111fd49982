"""Encrypted templates for a user: a key is made, templates are rewritten with it, and without the key nobody is let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ADA, BOB, Device

Clip = Callable[[int, int], Path]


def set_to(device: Device, text: str) -> None:
    (device.home / "edge.toml").write_text(f"[detection]\nmin_face_px = 60\n[gallery]\n{text}\n")


@pytest.fixture
def config(device: Device) -> tuple[str, Path]:
    return "--config", device.home / "edge.toml"


def test_a_life_with_a_key(device: Device, clip: Clip, config: tuple[str, Path]) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    key = device.home / "gallery.key"
    made = json.loads(device.run("gallery-key", "new", key, "--json").stdout)
    assert key.read_text().strip() not in json.dumps(made)
    set_to(device, f'encrypt = "file"\nkey_file = "{key}"')

    shown = device.run("gallery-key", "show", *config, "--json")
    assert (shown.returncode, json.loads(shown.stdout)["subjects"]) == (6, {"ada": "none"})
    assert json.loads(device.run("migrate", "--rewrite", *config, "--json").stdout) == {"rewritten": ["ada"], "refused": []}
    assert device.run("enroll", "bob", "--camera", clip(BOB, 1)).returncode == 0
    shown = device.run("gallery-key", "show", *config, "--json")
    assert (shown.returncode, json.loads(shown.stdout)["subjects"]) == (0, {"ada": made["key"], "bob": made["key"]})

    assert device.run("verify", "ada", "--camera", clip(ADA, 2)).returncode == 0
    more = device.run("enroll", "ada", "--add", "--camera", clip(ADA, 2), "--json")
    assert json.loads(more.stdout)["templates"] == 16
    listed = json.loads(device.run("list", *config, "--json").stdout)["subjects"]
    assert [(one["templates"], one["key"]) for one in listed] == [(16, made["key"]), (8, made["key"])]
    assert device.run("takeout", "ada", *config, "--out", device.home / "ada.json").returncode == 0
    assert len(json.loads((device.home / "ada.json").read_text())["templates"]) == 16
    daemon = device.run("run", "--json", "--camera", clip(ADA, 2))
    assert "accept" in [json.loads(line)["event"] for line in daemon.stdout.splitlines()]
    assert device.run("remove", "bob", "--purge").returncode == 0
    assert device.names() == ["ada"]

    set_to(device, 'encrypt = "none"')
    out = device.run("migrate", "--rewrite", "--old-key", key, *config)
    assert (out.returncode, "1 written anew" in out.stdout) == (0, True)
    key.unlink()
    assert device.run("verify", "ada", "--camera", clip(ADA, 2)).returncode == 0


def test_without_its_key_a_gallery_lets_nobody_in_and_says_why(device: Device, clip: Clip, config: tuple[str, Path]) -> None:
    keys = {name: device.home / f"{name}.key" for name in ("right", "other", "short", "open", "gone")}
    for name in ("right", "other", "open"):
        assert device.run("gallery-key", "new", keys[name]).returncode == 0
    keys["short"].write_text("abcdef")
    keys["short"].chmod(0o400)
    keys["open"].chmod(0o644)
    set_to(device, f'encrypt = "file"\nkey_file = "{keys["right"]}"')
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    cases = {name: f'encrypt = "file"\nkey_file = "{keys[name]}"' for name in ("other", "short", "open", "gone")}
    cases |= {"none": 'encrypt = "none"', "credential": 'encrypt = "credential"'}
    told = {
        "other": ("key-wrong", "--old-key"),
        "short": ("key-unusable", "6 characters, a key has 64"),
        "open": ("key-unusable", "chmod 0400"),
        "gone": ("key-missing", "no such key"),
        "none": ("key-missing", 'gallery.encrypt is "none"'),
        "credential": ("key-missing", "$CREDENTIALS_DIRECTORY is not set"),
    }
    for name, text in cases.items():
        set_to(device, text)
        code, remedy = told[name]
        named = device.run("verify", "ada", "--camera", clip(ADA, 2))
        assert (named.returncode, f"error[{code}]" in named.stderr, remedy in named.stderr) == (6, True, True), named.stderr
        taken = device.run("takeout", "ada", *config, "--out", device.home / "ada.json")
        assert (taken.returncode, f"error[{code}]" in taken.stderr) == (6, True)
        assert not (device.home / "ada.json").exists()
    daemon = device.run("run", "--json", "--camera", clip(ADA, 2))
    events = [json.loads(line) for line in daemon.stdout.splitlines()]
    assert [event["error"] for event in events if event["event"] == "gallery-refused"] == ["key-missing"]
    assert not {"accept", "deny"} & {event["event"] for event in events}
    # Without the key the command stops before it opens a camera.
    refused = device.run("enroll", "bob", "--camera", "/dev/video987")
    assert (refused.returncode, "error[key-missing]" in refused.stderr) == (6, True)
    assert device.names() == ["ada"]


def test_a_key_for_systemd_creds_is_a_line_on_stdout(device: Device) -> None:
    """`edge gallery-key new - | systemd-creds encrypt - FILE` never writes the plain key to the SD card."""
    done = device.run("gallery-key", "new", "-")
    assert done.returncode == 0
    assert len(bytes.fromhex(done.stdout)) == 32
    again = device.run("gallery-key", "new", device.home / "edge.toml")
    assert (again.returncode, "not there yet" in again.stderr) == (9, True)

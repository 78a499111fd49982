"""Settings: strict types, ranges, unknown keys, and one source of defaults."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge.contract.errors import SettingsError
from edge.settings import Settings, as_toml, load_settings, state_folder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[policy]\ntarget_fmr = '1e-3'", "policy.target_fmr = '1e-3'"),
        ("[policy]\nlockout_s = 5.0", "policy.lockout_s = 5.0: .*greater than or equal to 30"),
        ("[policy]\nthreshold = 0.4", "policy.threshold = 0.4"),
        ("[policy]\nmatches = 3\nframes = 2", "must not be more"),
        ("[policy]\ndisable_failures = 5", "disable_failures must be more"),
        ("[camera]\nwidth = 640.5", "camera.width = 640.5"),
        ("[camera]\nwidth = true", "camera.width = True"),
        ("[sounds]\nloud = true", "sounds"),
        ("camera = 3", "camera = 3"),
        ("[policy]\nsubject_fmr = { Ada = 1e-4 }", "subject_fmr"),  # no subject can have this name
        ("[policy]\nsubject_fmr = { ada = 1e-2 }", "not looser than target_fmr"),
        ("[policy]\nsubject_fmr = { ada = 0.0 }", "above 0"),
        ("[policy]\nmatches = 100\nframes = 100\nwindow_s = 1.0", "no camera gives"),
        ('[action]\nkind = "command"\nargv = ["true"]', "absolute path"),
        ('[action]\nkind = "gpio"', "needs pin"),
        ('[action]\nuser = "ada; true"', "action.user"),
        ('[detection]\ndetector = "lbp"', "needs detector_file"),
        ('[detection]\ndetector_file = "/a"', "needs no detector_file"),
        ("[quality]\nmin_brightness = 220.0", "must be below max_brightness"),
        ('[camera]\nsource = ""', "camera.source"),
        ('[gallery]\nencrypt = "file"', "needs key_file"),
        ('[gallery]\nkey_file = "a"', "gallery.key_file"),
        ('[gallery]\ncredential = "../a"', "gallery.credential"),
        ('[metrics]\nfile = "/a"', "metrics.file"),
        ("[policy", "not valid TOML"),
        ("\xff", "not valid TOML|unknown"),
        ("a = " + "[" * 100_000, "not valid TOML"),
        ("[policy]\nmatches = " + "1" * 5000, "not valid TOML"),
        ("[policy]\nmatches = 0x" + "f" * 5000, r"policy.matches = \.\.\.: "),
        ('[model]\npath = "a\\u0000b"', "model.path = .*NUL"),
        ('[gallery]\nencrypt = "file"\nkey_file = "/a\\u0000b"', "gallery.key_file = .*NUL"),
        ('[action]\nargv = ["/bin/true", "\\u0000"]', "action.argv.1 = .*NUL"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=told) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_an_error_only_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.settings.DEFAULT_PATH", tmp_path / "none.toml")
    assert load_settings(None) == Settings()
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(tmp_path / "none.toml")


def test_what_is_shown_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    odd = Settings.model_validate({"camera": {"source": 'a "quoted" \\ path'}, "policy": {"target_fmr": 1e-5}})
    path.write_text(as_toml(odd))
    assert load_settings(path) == odd


def test_every_number_is_explained() -> None:
    text = as_toml(Settings())
    assert tomllib.loads(text) == Settings().model_dump(mode="json")
    assert "target_fmr = 0.001  # how often two strangers may match: one of the model's measured operating points" in text


def test_the_state_folder_is_systemds_where_it_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/run/a:/run/b")
    assert state_folder() == Path("/run/a")

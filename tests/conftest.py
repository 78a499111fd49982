"""Shared fixtures: the committed synthetic model, clips of drawn people, a device with its own gallery, commands as processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.contract.modelfile import ModelFile, read_model
from edge.settings import Settings
from trainer.synth.clip import write_clip
from trainer.synth.person import Person

MODEL = Path(__file__).parent / "data" / "synthetic.tflite"
REAL_FACES = Path(os.environ.get("FACELATCH_REAL_FACES", Path(__file__).parents[2] / "shared" / "data"))

ADA, BOB, EVE = 9_000_001, 9_000_002, 9_000_003

# Tests that share what is costly to make; and the rig, which mostly waits, so that another worker can compute meanwhile.
TOGETHER = ("tests/system/", *(f"tests/integration/test_{name}.py" for name in ("training", "recipes", "team")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps each group in TOGETHER on one worker, the largest first, and hands out all other tests one by one.

    `--dist loadgroup` would not do: pytest 9.2 ignores the names that pytest-xdist 3.8 gives for it, and keeps nothing together.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)

    return Together(config, log)


@pytest.fixture(scope="session")
def model() -> ModelFile:
    """The verifier trained on drawn people; see tests/data/README.md."""
    return read_model(MODEL)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """`clip(person, take)`: a video file with six seconds of a drawn person. A clip takes seconds to draw, so all workers share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clips"
    folder.mkdir(exist_ok=True)

    def draw(person: int, take: int) -> Path:
        path = folder / f"{person}-{take}.avi"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                draft = path.with_stem(f"{path.stem}-draft")
                write_clip(draft, Person.from_seed(person), take, 6.0, width=320, height=240)
                draft.replace(path)
        return path

    return draw


@pytest.fixture
def settings() -> Settings:
    """The defaults, for frames of 320x240."""
    return Settings.model_validate({"detection": {"min_face_px": 60}})


@dataclass(frozen=True)
class Device:
    """The installed `edge` command with a state folder and settings of its own."""

    home: Path
    state: Path

    def run(self, *arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Runs a command; adds the model and the settings if the command takes them."""
        words = [str(word) for word in arguments]
        if words[0] in ("enroll", "verify", "run") and "--help" not in words:
            words += [] if "--config" in words else ["--config", str(self.home / "edge.toml")]
            words += [] if "--model" in words else ["--model", str(MODEL)]
        return subprocess.run(
            [*prefix, sys.executable, "-m", "edge", *words],
            capture_output=True,
            text=True,
            errors="replace",  # OpenCV's own log may contain bytes of a broken file
            env=os.environ | {"STATE_DIRECTORY": str(self.state)},
            timeout=120,
            check=False,
        )

    def names(self) -> list[str]:
        """The subjects with a file in the gallery."""
        return sorted(path.stem for path in (self.state / "gallery").glob("*.faces"))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device with nobody enrolled."""
    (tmp_path / "edge.toml").write_text("[detection]\nmin_face_px = 60\n")
    (tmp_path / "state").mkdir()
    return Device(tmp_path, tmp_path / "state")


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder with real faces; skips the test if there is none."""
    if not REAL_FACES.is_dir():
        pytest.skip(f"no real faces at {REAL_FACES}; set FACELATCH_REAL_FACES")
    return REAL_FACES

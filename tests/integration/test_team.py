"""A distributed training gives the result of a single one: across the devices of one process, and across workers on loopback."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.contract.errors import WorkerLost
from tests.commands import typed_here
from trainer.backend import tf
from trainer.team import Team, lost_worker_errors

# Small, and without dropout, whose masks differ between workers: the test is about what passes between the workers.
NETWORK = """
import keras

def tower(side_px):
    pixels = keras.Input((side_px, side_px, 1))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    for maps in (16, 32, 64):
        x = keras.layers.Conv2D(maps, 3, 2, activation="relu")(x)
    return keras.Model(pixels, keras.layers.Dense(32)(keras.layers.Flatten()(x)))
"""
# Enough steps that the second worker is killed long before the last one, and so small that rounding errors do not grow over them.
RECIPE = """
seed = 1
[tower]
network = "team_tower:tower"
normalise = true
[batch]
people = 8
strangers = 4
[schedule]
epochs = 3
steps = 120
learning_rate = 2e-5
warmup_steps = 0
"""
FIT = ("fit", "--data", "data", "--recipe", "own.toml", "--precision", "float32")

TWO_DEVICES = """
import sys
import numpy as np
from trainer.backend import keras, tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer.networks import SiameseHead
from trainer.pairs import Batch
from trainer.choices import Strategy
from trainer.settings import LossSettings
from trainer.step import Siamese
from trainer.team import Team, assemble

rng = np.random.default_rng(0)
chips = rng.integers(0, 256, (12, 8, 8), np.uint8)
enlarged = np.repeat(np.repeat(chips, 2, 1), 2, 2)[:, 2:14, 2:14]
rows = np.array([0, 1, 2, 3, 6, 7, 8, 9, 4, 5, 10, 11])
labels = np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 6, 7])
targets = rng.normal(size=(12, 5)).astype(np.float32)
told = []
for team in (Team(), assemble(Strategy.MIRRORED)):
    keras.utils.set_random_seed(1)
    with team.scope():
        pixels = keras.Input((8, 8, 1))
        flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
        tower = keras.Model(pixels, keras.layers.Dense(5, kernel_regularizer="l2")(flat))
        larger = keras.Input((12, 12, 1))
        asked = keras.Model(larger, keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(larger))))
        head = SiameseHead()
        head.build((None, 5))
        loss = LossSettings(pairs=1.0, hardest=0.5, teacher=2.0, contrast=0.5)
        model = Siamese(tower, head, keras.optimizers.Adam(1e-2), loss, labels, targets, team)
        asking = Siamese(tower, head, keras.optimizers.Adam(1e-2), loss, labels, targets, team, None, asked)
    part = team.share(12)
    assert part == slice(0, 12)
    losses = [way.step(Batch(chips[part], rows, 4, enlarged[part])) for way in (model, asking) for _ in range(5)]
    told.append((team.replicas, losses, [np.asarray(v).tolist() for v in model.variables], team.agree(True), team.agree(False)))
import json
print(json.dumps(told))
"""


def test_two_devices_train_as_one() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (one, losses, weights, *votes), (two, *shared) = json.loads(done.stdout.splitlines()[-1])
    assert (one, two) == (1, 2)
    assert np.allclose(losses, shared[0], rtol=1e-4)
    assert losses[4] < losses[0]
    assert losses[9] < losses[5]
    for alone, together in zip(weights, shared[1], strict=True):
        assert np.allclose(alone, together, atol=1e-4)
    assert votes == shared[2:] == [True, False]


@pytest.mark.parametrize(
    ("team", "told"), [(Team(), tf.errors.InternalError), (Team(SimpleNamespace(num_replicas_in_sync=2)), WorkerLost)]
)
def test_a_driver_that_fails_is_no_lost_worker(team: Team, told: type[Exception]) -> None:
    with pytest.raises(told), lost_worker_errors(Path("run"), team):
        raise tf.errors.InternalError(None, None, "CUDA error")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, drawn: Callable[[Path, int], None]) -> Path:
    """A prepared data set of drawn people."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "own.toml").write_text(RECIPE)
    (folder / "team_tower.py").write_text(NETWORK)
    drawn(folder / "people", 60)
    typed_here(folder, "trainer", "import", "people", "people", "--data", "data")
    typed_here(folder, "trainer", "prepare", "data", "--recipe", "own.toml", "--several", "largest", "--json")
    return folder


def start(folder: Path, run: str, index: int, ports: list[int]) -> subprocess.Popen[str]:
    cluster = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": index}}
    words = [sys.executable, "-m", "trainer", *FIT, "--run", run]
    environment = os.environ | {"TF_CONFIG": json.dumps(cluster), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def history(folder: Path, run: str) -> list[dict[str, str]]:
    with (folder / run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_workers_train_as_one_and_a_killed_one_can_go_on(workshop: Path) -> None:
    """Kills the second worker after the first epoch: the first reports it, and both resume from there when they are started again."""
    ports = free_ports()
    workers = [start(workshop, "two", index, ports) for index in range(2)]
    checkpoint = workshop / "two/checkpoint/best.npz"
    for _ in range(6000):
        if checkpoint.exists() or workers[0].poll() is not None:
            break
        time.sleep(0.02)
    assert checkpoint.exists(), workers[0].communicate()[1]
    workers[1].send_signal(signal.SIGKILL)
    told = workers[0].communicate(timeout=120)[1]
    workers[1].communicate()
    assert workers[0].returncode == 3, told
    assert "another worker is gone" in told

    ports = free_ports()
    workers = [start(workshop, "two", index, ports) for index in range(2)]
    out = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], out
    assert "the first worker writes the run" in out[1][0]
    record = json.loads((workshop / "two/run.json").read_text())
    assert (record["state"], record["epochs_run"]) == ("finished", 3)

    typed_here(workshop, "trainer", *FIT, "--run", "one")
    for one, two in zip(history(workshop, "one"), history(workshop, "two"), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "TF_CONFIG"),
        ('{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 3}}', "not one of the workers"),
    ],
)
def test_a_cluster_that_is_none_is_told(config: str, says: str, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    assert says in typed_here(workshop, "trainer", *FIT, "--run", "none", code=3).stderr

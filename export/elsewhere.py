"""Runs a model file in the runtime of another environment, which cannot be installed beside this one, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import GateMissed, InputError
from edge.contract.modelfile import TensorSpec

LONGEST_S = 1800


class Elsewhere(NamedTuple):
    """`embeddings` and `templates` of the given chips, float32 [n, D]; `golden`, the network's answers to the generated chips before
    dequantisation, [n, D] of the output's dtype; `environment` names runtime and machine."""

    embeddings: NDArray[np.float32]
    templates: NDArray[np.float32]
    golden: NDArray[Any]
    environment: dict[str, str]


def embed_elsewhere(python: Path, model: bytes, chips: NDArray[np.uint8], output: TensorSpec) -> Elsewhere:
    """Embeds chips, uint8 [n, side, side] or [n, side, side, 3], with another Python interpreter that has facelatch installed.

    Raises:
        InputError: there is no such interpreter, or facelatch is not installed in it.
        GateMissed: the file cannot be read or run there.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, pixels, out = (Path(folder) / name for name in ("model.tflite", "chips.npy", "out.npz"))
        file.write_bytes(model)
        np.save(pixels, chips)
        try:
            command = [str(python), "-m", "edge.embed", str(file), str(pixels), str(out)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)  # noqa: S603
        except OSError as error:
            raise InputError(f"{python}: cannot be started: {error.strerror}; name the python of an environment") from error
        except subprocess.TimeoutExpired as error:
            raise GateMissed(f"{python}: not done with {len(chips)} chips after {LONGEST_S} s") from error
        if "No module named" in done.stderr:
            raise InputError(f"{python}: {done.stderr.strip().splitlines()[-1]}; install facelatch there")
        if done.returncode or not out.exists():
            why = " ".join(done.stderr.strip().splitlines()[-3:])
            raise GateMissed(f"{python}: the file does not run in the runtime there: {why}")
        with np.load(out, allow_pickle=False) as results:
            answers, templates, golden = (results[name] for name in ("answers", "templates", "golden"))
            environment = json.loads(str(results["told"]))
    return Elsewhere(output.to_real(answers), templates, golden, environment)

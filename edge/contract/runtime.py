"""The one module that knows the TFLite interpreter: ai-edge-litert where it is installed, else tflite-runtime."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError, ModelDamaged, PackageMissing
from edge.contract.modelfile import ModelFile
from edge.contract.quantise import chip_to_int8, dequantise

_RUNTIMES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


class Tower:
    """A loaded network: face chip in, embedding out. Not safe to share between threads."""

    def __init__(self, model: ModelFile, *, threads: int = 1) -> None:
        module, self.runtime = _load_runtime()
        try:
            with _without_log():
                self._interpreter = module.Interpreter(model_content=model.flatbuffer, num_threads=threads)
                self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ModelDamaged(f"{model.path}: {self.runtime} cannot load the network: {error}") from error
        for name, spec, found in (("input", model.input, self._input), ("output", model.output, self._output)):
            scale, zero_point = found["quantization"]
            actual = (tuple(int(n) for n in found["shape"]), np.dtype(found["dtype"]).name, float(scale), int(zero_point))
            if actual != (spec.shape, spec.dtype, spec.scale, spec.zero_point):
                raise ModelDamaged(f"{model.path}: the network's {name} is {actual}, its metadata say {spec}")
        self._model = model

    def embed(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding, float32 [D], of a face chip, uint8 [side, side].

        Raises:
            InputError: the chip has another dtype or shape.
        """
        side = self._model.chip.side_px
        if chip.dtype != np.uint8 or chip.shape != (side, side):
            raise InputError(f"chip {chip.dtype} {chip.shape}: this model takes uint8 [{side}, {side}]")
        pixels = chip_to_int8(chip) if self._model.input.dtype == "int8" else chip.astype(np.float32)
        self._interpreter.set_tensor(self._input["index"], pixels[None, :, :, None])
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output["index"])[0]
        if self._model.output.dtype == "int8":
            return dequantise(raw, self._model.output.scale, self._model.output.zero_point)
        return np.asarray(raw, np.float32)


def runtime_name() -> str:
    """The runtime in use with its version, such as `ai-edge-litert 2.3.0`. Raises PackageMissing where there is none."""
    return _load_runtime()[1]


def _load_runtime() -> tuple[Any, str]:
    for module, distribution in _RUNTIMES:
        try:
            return importlib.import_module(module), f"{distribution} {version(distribution)}"
        except ModuleNotFoundError:
            continue
    raise PackageMissing("no TFLite runtime: pip install 'facelatch[edge]', on 32-bit ARM 'facelatch[tflite-runtime]'")


@contextmanager
def _without_log() -> Iterator[None]:
    # The runtime's C++ side tells of every delegate on descriptor 2 and has no level to set. Its errors are exceptions.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

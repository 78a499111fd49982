"""The only module that imports the TFLite interpreter: ai-edge-litert if it is installed, else tflite-runtime."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Cropper, Placement, shrink
from edge.contract.errors import InputError, ModelDamaged, PackageMissing
from edge.contract.modelfile import ModelFile, Network, TemplateKind
from edge.contract.quantise import chip_to_int8
from edge.contract.score import merge

_RUNTIMES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


class Embedder:
    """A loaded model: face chip in, embedding out, with alignment first if the model aligns. Not safe to share between threads."""

    def __init__(self, model: ModelFile, *, threads: int = 1) -> None:
        self._shape = model.chip.shape
        self._head, self._template = model.head, model.template
        self._tower = Interpreter(model.tower, model.path, threads)
        self._aligner = Interpreter(model.aligner.network, model.path, threads) if model.aligner else None
        self._align = model.aligner.spec if model.aligner else None
        self._crop = Cropper(self._align.side_px) if self._align else None
        self.runtime = self._tower.runtime

    def embed(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding, float32 [D], of a face chip, uint8 in the shape of the model's chip specification.

        Raises:
            InputError: the chip has another dtype or shape.
        """
        return self._tower.run(self.view(chip))

    def answer(self, chip: NDArray[np.uint8]) -> NDArray[Any]:
        """`embed` before dequantisation, [D] of the output's dtype: for comparing runtimes and machines in quantisation steps."""
        return self._tower.answer(self.view(chip))

    def view(self, chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the tower sees of a face chip: the chip itself, or the aligned square in it, uint8.

        Raises:
            InputError: the chip has another dtype or shape.
        """
        return self.aligned(chip)[0]

    def aligned(self, chip: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Placement | None]:
        """`view`, and its placement in the chip, None if the model has no aligner.

        Raises:
            InputError: the chip has another dtype or shape.
        """
        if chip.dtype != np.uint8 or chip.shape != self._shape:
            raise InputError(f"chip {chip.dtype} {chip.shape}: this model takes uint8 {list(self._shape)}")
        if self._aligner is None or self._align is None or self._crop is None:
            return chip, None
        placement = self._align.placement(self._aligner.run(shrink(chip, self._align.input_px)))
        return self._crop(chip, placement), placement

    def embed_view(self, view: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding, float32 [D], of a view that `aligned` returned."""
        return self._tower.run(view)

    def template(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What is stored of an enrolled face, float32 [D], given its chip. Raises InputError as `embed` does."""
        return self.both(chip)[1]

    def both(self, chip: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`embed` and `template` of a chip, without computing an embedding twice. Raises InputError as `embed` does."""
        view = self.view(chip)
        embedding = self.embed_view(view)
        return embedding, self.template_of_view(view, embedding)

    def template_of_view(self, view: NDArray[np.uint8], embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """`template`, from the view that `aligned` returned and its embedding by `embed_view`."""
        if self._template is TemplateKind.PLAIN:
            return embedding
        mirrored = np.ascontiguousarray(view[:, ::-1])
        return merge(self._head, np.stack([embedding, self.embed_view(mirrored)]))


class Interpreter:
    """One network in the installed runtime. Not safe to share between threads.

    Raises:
        ModelDamaged: the runtime refuses it, or its tensors are not those of the metadata.
        PackageMissing: no runtime is installed.
    """

    def __init__(self, network: Network, path: Path, threads: int) -> None:
        module, self.runtime = _load_runtime()
        try:
            with _without_log():
                self._interpreter = module.Interpreter(model_content=network.flatbuffer, num_threads=threads)
                self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ModelDamaged(f"{path}: {self.runtime} cannot load the network: {error}") from error
        for name, spec, details in (("input", network.input, self._input), ("output", network.output, self._output)):
            scale, zero_point = details["quantization"]
            actual = (tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]).name, float(scale), int(zero_point))
            if actual != (spec.shape, spec.dtype, spec.scale, spec.zero_point):
                raise ModelDamaged(f"{path}: the network's {name} is {actual}, its metadata say {spec}")
        self._network = network

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output, float32 [D], for pixels, uint8 [side, side] or [side, side, 3]."""
        return self._network.output.to_real(self.answer(pixels))

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """`run` before dequantisation, [D] of the output's dtype."""
        fed = chip_to_int8(pixels) if self._network.input.dtype == "int8" else pixels.astype(np.float32)
        self._interpreter.set_tensor(self._input["index"], fed.reshape(self._network.input.shape))
        self._interpreter.invoke()
        raw: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])[0]
        return raw


def runtime_name() -> str:
    """The runtime in use and its version, such as `ai-edge-litert 2.3.0`. Raises PackageMissing if there is none."""
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
    # The runtime's C++ code logs every delegate to descriptor 2 and has no log level to set. Errors still come as exceptions.
    if sys.stderr is None:  # closed before the start: descriptor 2 may be any file by now
        yield
        return
    sys.stderr.flush()
    stderr_copy, null_device = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(null_device)

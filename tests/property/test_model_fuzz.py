"""Thousands of damaged model files: none is accepted, and the reader raises only its own errors."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.contract import modelfile
from edge.contract.errors import ModelError
from edge.contract.modelfile import METADATA_NAME, ModelFile, TemplateKind, model_id_of, parse_model, seal
from export.package import array_entry, pack

HERE = Path("fuzzed.tflite")
MUTATIONS, RESEALED = 12_000, 3_000


@pytest.fixture(scope="module")
def small(model: ModelFile) -> bytes:
    """A file of a few kilobytes that the reader accepts: the metadata of the real one, and 2 KiB in place of the network."""
    flatbuffer = b"\x1c\0\0\0TFL3" + bytes(np.random.default_rng(0).integers(0, 256, 2048, np.uint8))
    arrays = {
        "arrays/head-weights.npy": model.head.weights,
        "arrays/cohort.npy": np.zeros((0, model.head.size), np.int8),
        "arrays/golden.npy": model.golden,
    }
    record = json.loads(json.dumps(model.record)) | {"model_id": model_id_of(flatbuffer, b"", TemplateKind.PLAIN)}
    record["cohort"] = array_entry("arrays/cohort.npy", arrays["arrays/cohort.npy"])
    data = pack(flatbuffer, record, arrays)
    assert parse_model(data, HERE).model_id == record["model_id"]
    return data


def flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return data


def cut(data: bytearray, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 4, 100, len(data))) :]


def graft(data: bytearray, rng: random.Random) -> bytearray:
    source, at = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[source : source + rng.choice((1, 4, 30, 500))]
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def grow(data: bytearray, rng: random.Random) -> bytearray:
    piece = rng.randbytes(rng.choice((1, 4, 22, 300)))
    return rng.choice((piece + data, data + piece))


def swap(data: bytearray, rng: random.Random) -> bytearray:
    """Overwrites four bytes, where a size or offset may be, with an absurd number."""
    at = rng.randrange(len(data) - 4)
    absurd = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)))
    data[at : at + 4] = struct.pack("<I", absurd)
    return data


WAYS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (flip, cut, graft, grow, swap)


def mutants(data: bytes, count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    found: list[bytes] = []
    while len(found) < count:
        mutant = bytes(rng.choice(WAYS)(bytearray(data), rng))
        if mutant != data:
            found.append(mutant)
    return found


def test_no_damaged_file_is_accepted(small: bytes) -> None:
    refused = 0
    for mutant in mutants(small, MUTATIONS, seed=1):
        with pytest.raises(ModelError):
            parse_model(mutant, HERE)
        refused += 1
    assert refused == MUTATIONS


def test_damage_under_a_seal_that_fits_gives_the_readers_own_errors_alone(small: bytes) -> None:
    """The attacker can write the seal. A file that is still accepted must have the network that its metadata names."""
    body = small[: -len(seal(b""))]
    accepted = 0
    for mutant in mutants(body, RESEALED, seed=2):
        try:
            model = parse_model(mutant + seal(mutant), HERE)
        except ModelError:
            continue
        accepted += 1
        assert model_id_of(model.tower.flatbuffer, b"", TemplateKind.PLAIN) == model.model_id == model.record["model_id"]
        assert all(0 < point.threshold <= 1 for point in model.operating_points)
    assert accepted < RESEALED / 4  # those in which only a name or a note changed


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file with these members and a matching seal."""
    out = io.BytesIO(b"\x1c\0\0\0TFL3")
    with zipfile.ZipFile(out, "a", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    data = out.getvalue()[:-2] + struct.pack("<H", len(seal(b"")))
    return data + seal(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (zipped({METADATA_NAME: b"0" * (1 << 24)}, zipfile.ZIP_DEFLATED), "compressed or too large"),
        (zipped({f"{n}": b"" for n in range(17)}), "too many files"),
        (zipped({"../../etc/passwd": b"root"}), "missing or unreadable"),
        (zipped({METADATA_NAME: b"[" * 200_000}), "missing or unreadable"),
        (zipped({METADATA_NAME: b'{"schema": 2}'}), "export the model again"),
        (zipped({METADATA_NAME: b'{"schema": 1e999}'}), "reads schemas 2 to 4"),
    ],
    ids=["bomb", "many", "path", "deep", "bare", "infinite"],
)
def test_a_hostile_zip_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        parse_model(data, HERE)


def numpy_file(header: bytes, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "array",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        numpy_file(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"),
        numpy_file(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,"),
        numpy_file(b"-" * 9000 + b"1"),
        numpy_file(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n."),
    ],
    ids=["empty", "half a zip", "zip", "terabytes", "open", "deep", "pickle"],
)
def test_an_array_that_is_none_is_refused(small: bytes, array: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = json.loads(members.pop(METADATA_NAME))
    name = record["golden"]["file"]
    record["golden"]["sha256"] = hashlib.sha256(array).hexdigest()
    flatbuffer = small[: small.index(b"PK\x03\x04")]
    with pytest.raises(ModelError, match="export the model again"):
        parse_model(pack(flatbuffer, record, {}, members | {name: array}), HERE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("head", []),
        ("operating_points.0.fmr_interval", []),
        ("operating_points.0.fnmr_interval", [0.0]),
        ("operating_points.0.false_matches", 0),
        ("operating_points.0.false_matches", 1 << 40),
        ("operating_points.0.impostor_trials", 100),
        ("operating_points.0.fnmr", 0.0),
        ("operating_points.0.false_non_matches", 1 << 40),
        ("operating_points.0.fnmr_interval", [float("nan"), 1.0]),
        ("operating_points.0.fnmr_interval", [0.9, 1.0]),
    ],
)
def test_metadata_of_another_shape_or_beyond_their_counts_are_refused(small: bytes, key: str, value: object) -> None:
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = json.loads(members.pop(METADATA_NAME))
    *path, last = (int(word) if word.isdecimal() else word for word in key.split("."))
    entry = record
    for word in path:
        entry = entry[word]
    assert entry[last] != value
    entry[last] = value
    flatbuffer = small[: small.index(b"PK\x03\x04")]
    with pytest.raises(ModelError, match="export the model again"):
        parse_model(pack(flatbuffer, record, {}, members), HERE)


def test_a_file_larger_than_any_device_reads_is_refused_before_it_is_written(
    monkeypatch: pytest.MonkeyPatch, small: bytes
) -> None:
    """The exporter checks its output with this function before it writes it."""
    monkeypatch.setattr(modelfile, "MAX_FILE_BYTES", len(small))
    parse_model(small, HERE)
    monkeypatch.setattr(modelfile, "MAX_FILE_BYTES", len(small) - 1)
    with pytest.raises(ModelError, match="a model has at most"):
        parse_model(small, HERE)

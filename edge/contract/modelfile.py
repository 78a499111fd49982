"""The model file: a TFLite flatbuffer with its metadata appended as a zip. Verifies every byte before anything is used.

    flatbuffer | zip: facelatch.json, arrays/*.npy, align.tflite | zip comment: "facelatch-seal:" + SHA-256 of all before it

Any TFLite interpreter loads the file, `python -m zipfile -l` lists it, and a flipped, missing or added byte breaks the seal. The
seal finds damage. It is not a signature: whoever can write the file can also write a valid seal.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tokenize
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import AlignSpec
from edge.contract.errors import ModelDamaged, ModelError, ModelUnproven, ModelUnsupported
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.quantise import dequantise, quantise
from edge.contract.score import Cohort, Head
from edge.contract.spec import ChipSpec

SCHEMA_VERSION = 4
# Schema 2 had only plain templates, schema 3 had no `doubt` in the head.
READABLE_SCHEMAS = (2, 3, SCHEMA_VERSION)
METADATA_NAME = "facelatch.json"
SEAL_PREFIX = b"facelatch-seal:"
SEAL_SIZE = len(SEAL_PREFIX) + 64
MAX_FILE_BYTES = 64 << 20
MAX_MEMBER_BYTES = 16 << 20
MAX_EMBEDDING = 4096


class TemplateKind(StrEnum):
    """What is stored of an enrolled face. A probe is a plain embedding or, where the head is in doubt, the same kind as the templates."""

    PLAIN = "plain"
    """Its embedding."""
    MIRRORED = "mirrored"
    """The mean of its embedding and its mirror image's. Doubles the time of enrolment, and of a probe in doubt."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The input or output tensor of a network. For float32 `scale` and `zero_point` are 0, as in TFLite."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    def to_real(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """Converts values of this tensor, of its dtype and any shape, to the real values they represent, float32 of that shape."""
        return dequantise(raw, self.scale, self.zero_point) if self.dtype == "int8" else np.asarray(raw, np.float32)

    def to_raw(self, real: NDArray[np.float32]) -> NDArray[Any]:
        """The inverse of `to_real`: restores exactly the values that it was given."""
        return quantise(real, self.scale, self.zero_point) if self.dtype == "int8" else real


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and the rates measured there with the model file itself, with counts and 95 % intervals."""

    name: str
    target_fmr: float
    threshold: float
    fmr: float
    fmr_interval: tuple[float, float]
    false_matches: int
    impostor_trials: int
    fnmr: float
    fnmr_interval: tuple[float, float]
    false_non_matches: int
    genuine_trials: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One check of the export on held-out people: a figure and its `limit`, a minimum if `at_least`, else a maximum."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def passed(self) -> bool:
        """Whether the value keeps the limit; NaN does not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} ({'at least' if self.at_least else 'at most'} {self.limit:g})"


@dataclass(frozen=True, slots=True)
class Network:
    """A flatbuffer for the interpreter, with its input and output tensors."""

    flatbuffer: bytes
    input: TensorSpec
    output: TensorSpec


@dataclass(frozen=True, slots=True)
class Aligner:
    """The network that locates the face in a chip, and how to read its answer."""

    network: Network
    spec: AlignSpec


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A verified model: the tower's network, the aligner before it if the model aligns, and everything known about them.

    `model_id` is the SHA-256 of the tower's flatbuffer, the aligner's and the kind of templates, which together determine what is
    stored of a face. `cohort`, float32 [n, D], holds embeddings of strangers, n may be 0; a head with a cohort uses these. `golden`,
    [n, D] of the output's dtype, is the tower's output before dequantisation for `fingerprint.golden_chips`, in the runtime that the
    file was measured in. `record` is all of facelatch.json, for display.
    """

    path: Path
    tower: Network
    aligner: Aligner | None
    model_id: str
    name: str
    chip: ChipSpec
    head: Head
    template: TemplateKind
    operating_points: tuple[OperatingPoint, ...]
    gates: tuple[Gate, ...]
    golden: NDArray[Any]
    cohort: NDArray[np.float32]
    record: dict[str, Any]

    def operating_point(self, target_fmr: float, *, allow_failed_gate: bool = False) -> OperatingPoint:
        """The operating point measured for `target_fmr`, never a looser one.

        Raises:
            ModelUnproven: the model has no measurement for it, or its export missed a gate and `allow_failed_gate` is false.
        """
        missed = [gate for gate in self.gates if not gate.passed]
        if missed and not allow_failed_gate:
            raise ModelUnproven(
                f"{self.path}: written with --force although it missed {', '.join(map(str, missed))}. "
                "Use another model, or set policy.allow_failed_gate = true"
            )
        for point in self.operating_points:
            if abs(point.target_fmr - target_fmr) <= 1e-9 * target_fmr:
                return point
        available = ", ".join(f"{point.target_fmr:g}" for point in self.operating_points) or "none"
        raise ModelUnproven(
            f"{self.path}: no operating point measured for FMR {target_fmr:g}; it has: {available}. "
            "Set policy.target_fmr to one of these, or export with more held-out identities"
        )


def read_model(path: Path) -> ModelFile:
    """Reads and verifies a model file.

    Raises:
        ModelError: the file cannot be read, or is not a facelatch model.
        ModelDamaged: a digest or a size is wrong.
        ModelUnsupported: schema, chip contract or this machine's chips differ from those that the model was made with.
    """
    try:
        _check_size(path.stat().st_size, path)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # a device file has size 0 and never ends
    except OSError as error:
        remedy = "; is its path right?" if isinstance(error, FileNotFoundError) else ""
        raise ModelError(f"{path}: cannot read the model: {error.strerror}{remedy}") from error
    return parse_model(data, path)


def _check_size(size: int, path: Path) -> None:
    if size > MAX_FILE_BYTES:
        raise ModelError(f"{path}: {size} bytes; a model has at most {MAX_FILE_BYTES}")


def parse_model(data: bytes, path: Path) -> ModelFile:
    """`read_model` for bytes already in memory; `path` is only for messages."""
    _check_size(len(data), path)
    members, start = _open_sealed(data, path)
    try:
        record = json.loads(members[METADATA_NAME])
        schema = record["schema"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelDamaged(f"{path}: {METADATA_NAME} is missing or unreadable ({error}); copy the model again") from error
    if schema not in READABLE_SCHEMAS:
        raise ModelUnsupported(
            f"{path}: model schema {schema}; this facelatch reads schemas {READABLE_SCHEMAS[0]} to {READABLE_SCHEMAS[-1]}. "
            f"It was written by facelatch {record.get('written_by', 'of unknown version')}: use that release, or export again"
        )
    flatbuffer = data[:start]
    try:
        return _build(path, flatbuffer, record, members)
    except (LookupError, AttributeError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelDamaged(f"{path}: {METADATA_NAME}: {type(error).__name__}: {error}; export the model again") from error


def seal(data: bytes | memoryview) -> bytes:
    """The comment of a zip whose bytes before the comment are `data`, with the comment's length already written."""
    return SEAL_PREFIX + hashlib.sha256(data).hexdigest().encode()


def _open_sealed(data: bytes, path: Path) -> tuple[dict[str, bytes], int]:
    comment = data[-SEAL_SIZE:]
    if not comment.startswith(SEAL_PREFIX):
        kind = "a plain TFLite file" if data[4:8] == b"TFL3" else "no TFLite file"
        raise ModelError(
            f"{path}: {kind if data else 'empty'}: no facelatch seal at its end. Make a model with "
            "`python -m export tflite --quantize RUN`, or copy it again if it was cut off"
        )
    if comment != seal(memoryview(data)[:-SEAL_SIZE]):
        raise ModelDamaged(f"{path}: the seal does not fit the bytes: the file is damaged or was changed; copy it again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names) or len(names) > 16:
                raise ModelDamaged(f"{path}: the appended zip names a file twice or too many files")
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_MEMBER_BYTES:
                    raise ModelDamaged(f"{path}: {entry.filename!r} in the appended zip is compressed or too large")
            start = min((entry.header_offset for entry in entries), default=0)
            return {entry.filename: archive.read(entry) for entry in entries}, start
    except ModelError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError, struct.error) as error:
        raise ModelDamaged(f"{path}: the appended zip is unreadable ({error}); copy the model again") from error


def _build(path: Path, flatbuffer: bytes, record: dict[str, Any], members: dict[str, bytes]) -> ModelFile:
    chip = ChipSpec.from_json(record["chip"])
    size = _whole(record["embedding_size"], 1, MAX_EMBEDDING)
    aligner = _aligner(path, record["align"], chip, members) if record.get("align") is not None else None
    template = TemplateKind(record["template"]) if record["schema"] > 2 else TemplateKind.PLAIN
    model_id = model_id_of(flatbuffer, aligner.network.flatbuffer if aligner else b"", template)
    if record["model_id"] != model_id:
        raise ModelDamaged(f"{path}: the network's SHA-256 {model_id} is not the recorded {record['model_id']}")
    side_px = aligner.spec.side_px if aligner else chip.side_px
    tower = _network(path, flatbuffer, record["tensors"], (side_px, side_px, chip.channels), size)
    normalise, squared = (record["head"].get(key, False) for key in ("normalise", "squared"))
    if not isinstance(normalise, bool) or not isinstance(squared, bool):
        raise ValueError(f"head.normalise {normalise!r}, head.squared {squared!r}: expected true or false")
    weights = _array(path, record["head"]["weights"], members, (size,))
    cohort = _cohort(path, record["cohort"], members, tower.output)
    entry = record["head"].get("cohort")
    head_cohort = Cohort(cohort, _whole(entry["nearest"], 1, 64), float(entry["ceiling"])) if entry is not None else None
    head = Head(weights, float(record["head"]["bias"]), normalise, squared, head_cohort, _doubt(record, template))
    points = tuple(_point(point) for point in record["operating_points"])
    gates = tuple(_gate(gate) for gate in record["gates"])
    golden = _array(path, record["golden"], members, (None, size), tower.output.dtype)
    fingerprint = chip_fingerprint(chip)
    if record["fingerprint"] != fingerprint:
        raise ModelUnsupported(
            f"{path}: chips cut on this machine differ from those the model was made with (fingerprint {fingerprint[:12]}, "
            f"model {str(record['fingerprint'])[:12]}): another OpenCV or facelatch is installed; install the locked versions"
        )
    return ModelFile(
        path=path,
        tower=tower,
        aligner=aligner,
        model_id=model_id,
        name=str(record["name"]),
        chip=chip,
        head=head,
        template=template,
        operating_points=points,
        gates=gates,
        golden=golden,
        cohort=cohort,
        record=record,
    )


def model_id_of(tower: bytes, aligner: bytes, template: TemplateKind) -> str:
    """The identity of a model as hex, from its flatbuffers and kind of templates; `aligner` is empty if there is none. Plain templates
    add nothing, so that models from before there were other kinds keep their identity."""
    digest = hashlib.sha256(tower)
    digest.update(aligner)
    digest.update(b"" if template is TemplateKind.PLAIN else template.encode())
    return digest.hexdigest()


def _doubt(record: dict[str, Any], template: TemplateKind) -> tuple[float, float] | None:
    range_ = record["head"].get("doubt") if record["schema"] > 3 else None
    if range_ is None:
        return None
    if template is TemplateKind.PLAIN:
        raise ValueError("head.doubt with plain templates: there is no second look")
    return float(range_["from"]), float(range_["below"])


def _aligner(path: Path, entry: dict[str, Any], chip: ChipSpec, members: dict[str, bytes]) -> Aligner:
    flatbuffer = members[entry["file"]]
    if hashlib.sha256(flatbuffer).hexdigest() != entry["sha256"]:
        raise ModelDamaged(f"{path}: {entry['file']} does not have its recorded SHA-256")
    spec = AlignSpec.from_json(entry["spec"])
    if chip.side_px % spec.input_px:
        raise ModelDamaged(f"{path}: chip side {chip.side_px} is no multiple of the aligner's input {spec.input_px}")
    return Aligner(_network(path, flatbuffer, entry["tensors"], (spec.input_px, spec.input_px, 1), 4), spec)


def _network(path: Path, flatbuffer: bytes, tensors: dict[str, Any], pixels: tuple[int, int, int], outputs: int) -> Network:
    if flatbuffer[4:8] != b"TFL3":
        raise ModelDamaged(f"{path}: the network is no TFLite flatbuffer")
    first, last = _tensor(tensors["input"]), _tensor(tensors["output"])
    if first.shape != (1, *pixels) or last.shape != (1, outputs):
        raise ModelDamaged(
            f"{path}: tensor shapes {first.shape} and {last.shape} do not fit pixels {pixels} and {outputs} outputs"
        )
    if first.dtype == "int8" and (first.scale, first.zero_point) != (1.0, -128):
        raise ModelUnsupported(f"{path}: int8 input must be pixel - 128 (scale 1, zero point -128): {first}")
    if last.dtype == "int8" and not last.scale > 0:
        raise ModelDamaged(f"{path}: int8 output without a scale: {last}")
    return Network(flatbuffer, first, last)


def _cohort(path: Path, entry: dict[str, Any], members: dict[str, bytes], output: TensorSpec) -> NDArray[np.float32]:
    # Stored in the tower's output dtype: an int8 model needs a quarter of the bytes, without any loss.
    return output.to_real(_array(path, entry, members, (None, output.shape[1]), output.dtype))


def _array(
    path: Path, entry: dict[str, Any], members: dict[str, bytes], shape: tuple[int | None, ...], dtype: str = "float32"
) -> NDArray[Any]:
    raw = members[entry["file"]]
    if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
        raise ModelDamaged(f"{path}: {entry['file']} does not have its recorded SHA-256")
    try:
        array = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except (EOFError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError) as error:
        raise ModelDamaged(f"{path}: {entry['file']} is no array of NumPy's: {error}; export the model again") from error
    fits = len(array.shape) == len(shape) and all(
        expected in (None, actual) for expected, actual in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits or not np.isfinite(array).all():
        raise ModelDamaged(f"{path}: {entry['file']} is {array.dtype} {array.shape}, expected finite {dtype} {shape}")
    return np.ascontiguousarray(array)


def _tensor(entry: dict[str, Any]) -> TensorSpec:
    shape = tuple(_whole(value, 1, 1 << 20) for value in entry["shape"])
    if entry["dtype"] not in ("int8", "float32"):
        raise ValueError(f"tensor dtype {entry['dtype']!r}: int8 and float32 are known")
    return TensorSpec(shape, entry["dtype"], float(entry["scale"]), _whole(entry["zero_point"], -128, 127))


def _point(entry: dict[str, Any]) -> OperatingPoint:
    point = OperatingPoint(
        name=str(entry["name"]),
        target_fmr=float(entry["target_fmr"]),
        threshold=float(entry["threshold"]),
        fmr=float(entry["fmr"]),
        fmr_interval=(float(entry["fmr_interval"][0]), float(entry["fmr_interval"][1])),
        false_matches=_whole(entry["false_matches"], 0, 1 << 50),
        impostor_trials=_whole(entry["impostor_trials"], 1, 1 << 50),
        fnmr=float(entry["fnmr"]),
        fnmr_interval=(float(entry["fnmr_interval"][0]), float(entry["fnmr_interval"][1])),
        false_non_matches=_whole(entry["false_non_matches"], 0, 1 << 50),
        genuine_trials=_whole(entry["genuine_trials"], 1, 1 << 50),
    )
    # Written so that NaN fails its comparison, and with it the whole check.
    low, high = point.fmr_interval
    sound = 0 < point.target_fmr < 1 and 0 < point.threshold <= 1 and 0 <= low <= point.fmr <= high <= 1
    if not (sound and point.fmr <= point.target_fmr * (1 + 1e-9) and 0 <= point.fnmr <= 1):
        raise ValueError(
            f"operating point {point.name!r}: target {point.target_fmr}, threshold {point.threshold}, FMR {point.fmr}"
        )
    low, high = point.fnmr_interval
    counted = all(
        errors <= trials and abs(rate * trials - errors) < 0.5
        for rate, errors, trials in (
            (point.fmr, point.false_matches, point.impostor_trials),
            (point.fnmr, point.false_non_matches, point.genuine_trials),
        )
    )
    if not (counted and 0 <= low <= point.fnmr <= high <= 1):
        raise ValueError(
            f"operating point {point.name!r}: FMR {point.fmr} of {point.false_matches} in {point.impostor_trials}, FNMR {point.fnmr} "
            f"({low} to {high}) of {point.false_non_matches} in {point.genuine_trials}"
        )
    if point.impostor_trials * point.target_fmr < 3 - 1e-9:
        raise ValueError(
            f"operating point {point.name!r}: {point.impostor_trials} impostor trials cannot show {point.target_fmr}"
        )
    return point


def _gate(entry: dict[str, Any]) -> Gate:
    gate = Gate(str(entry["name"]), float(entry["value"]), float(entry["limit"]), entry["at_least"] is True)
    if entry["passed"] is not gate.passed or entry["at_least"] is not gate.at_least or not np.isfinite(gate.limit):
        raise ValueError(f"gate {gate}: recorded as passed = {entry['passed']!r}")
    return gate


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{value!r}: expected a whole number from {low} to {high}")
    return value

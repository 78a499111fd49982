"""Mixed precision is chosen where the processor is fast at it, and ends with its context."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer import precision
from trainer.backend import keras
from trainer.choices import Precision
from trainer.precision import computing_in, has_bfloat16


@pytest.mark.parametrize(
    ("asked", "flags", "got"),
    [
        (Precision.AUTO, "flags\t: fpu avx512_bf16 sse", "mixed_bfloat16"),
        (Precision.AUTO, "Features\t: asimd bf16", "mixed_bfloat16"),
        (Precision.AUTO, "flags\t: fpu avx512f", "float32"),
        (Precision.MIXED, "flags\t: fpu", "mixed_bfloat16"),
        (Precision.FLOAT32, "flags\t: amx_bf16", "float32"),
    ],
)
def test_what_auto_comes_to(asked: Precision, flags: str, got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    with computing_in(asked) as name:
        assert name == got
        assert keras.layers.Dense(1).compute_dtype == ("bfloat16" if got != "float32" else "float32")
    assert keras.config.dtype_policy().name == "float32"


def test_a_system_that_tells_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "none")
    assert not has_bfloat16()

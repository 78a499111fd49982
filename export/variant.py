"""The variants of quantisation of a network. Quantises nothing."""

from __future__ import annotations

from enum import StrEnum


class Variant(StrEnum):
    """How weights and activations are stored. All but INT8 have float32 inputs and outputs."""

    INT8 = "int8"
    """Both in 8 bits, with one scale for each filter: the smallest and, where the runtime has the kernels, the fastest."""
    INT16X8 = "int16x8"
    """Activations in 16 bits, weights in 8: nearly the float model's answers, but plain loops instead of fast kernels."""
    DYNAMIC = "dynamic"
    """Weights in 8 bits, activations in float, quantised layer by layer at run time."""
    FLOAT16 = "float16"
    """Weights in 16-bit float, arithmetic in float32: half the size."""
    NONE = "none"
    """float32."""

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of activations must be calibrated beforehand."""
        return self in (Variant.INT8, Variant.INT16X8)

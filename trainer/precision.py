"""Training precision: float32, or bfloat16 products with float32 weights and sums, twice as fast where there are kernels for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.backend import keras, tf
from trainer.choices import Precision

CPU_INFO = Path("/proc/cpuinfo")
# Linux's names for the CPU instructions for bfloat16 products; without them oneDNN is slow.
_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Nvidia's first generation with bfloat16. Older ones have only float16, which would need gradient scaling.
_GPU_CAPABILITY = (8, 0)


@contextmanager
def computing_in(precision: Precision) -> Iterator[str]:
    """Sets the precision of layers created in the context. Gives the Keras policy used, `float32` or `mixed_bfloat16`."""
    mixed = precision is Precision.MIXED or (precision is Precision.AUTO and has_bfloat16())
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        yield keras.config.dtype_policy().name
    finally:
        keras.config.set_dtype_policy(previous)


def has_bfloat16() -> bool:
    """Whether the device that TensorFlow would train on multiplies in bfloat16."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0)) >= _GPU_CAPABILITY
    try:
        flags = next((line for line in CPU_INFO.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return bool(_CPU_FLAGS & set(flags.split()))

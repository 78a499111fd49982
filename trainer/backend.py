"""Keras and TensorFlow. Only this module imports them, so that one place keeps their start-up log off the terminal."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# TensorFlow's C++ code writes to descriptor 2 directly and ignores the log level until it is initialised. Errors are raised anyway.
sys.stderr.flush()
_stderr_copy = os.dup(2)
_devnull = os.open(os.devnull, os.O_WRONLY)
os.dup2(_devnull, 2)
try:
    import keras
    import tensorflow as tf
finally:
    os.dup2(_stderr_copy, 2)
    os.close(_stderr_copy)
    os.close(_devnull)

__all__ = ["as_input", "keras", "tf"]


def as_input(chips: tf.Tensor) -> tf.Tensor:
    """Chips, uint8 [n, side, side] or [n, side, side, 3], as a tower takes them: float32 [n, side, side, 1 or 3]."""
    pixels = tf.cast(chips, tf.float32)
    return pixels[..., None] if len(pixels.shape) == 3 else pixels

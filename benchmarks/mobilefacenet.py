"""A network of MobileFaceNet's shape (Chen et al. 2018, table 1) with untrained weights: a reference for time and size only."""

from __future__ import annotations

from typing import Any

SIDE_PX = 112
# Expansion, maps, repetitions, stride of the first.
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def build_mobilefacenet(channels: int = 3) -> Any:
    """The Keras model: pixels [n, 112, 112, channels] to [n, 128]. ReLU replaces PReLU, which has no fused int8 kernel."""
    import keras
    from keras import layers

    def conv(x: Any, maps: int, kernel: int, stride: int = 1, *, active: bool = True) -> Any:
        x = layers.BatchNormalization()(layers.Conv2D(maps, kernel, stride, "same", use_bias=False)(x))
        return layers.ReLU()(x) if active else x

    def depthwise(x: Any, kernel: int, stride: int = 1, padding: str = "same", *, active: bool = True) -> Any:
        x = layers.BatchNormalization()(layers.DepthwiseConv2D(kernel, stride, padding, use_bias=False)(x))
        return layers.ReLU()(x) if active else x

    pixels = keras.Input((SIDE_PX, SIDE_PX, channels))
    x = depthwise(conv(layers.Rescaling(1 / 128, offset=-1)(pixels), 64, 3, 2), 3)
    for expansion, maps, times, first_stride in STAGES:
        for number in range(times):
            stride = first_stride if number == 0 else 1
            y = conv(depthwise(conv(x, expansion * maps, 1), 3, stride), maps, 1, active=False)
            x = layers.Add()([x, y]) if stride == 1 and x.shape[-1] == maps else y
    x = depthwise(conv(x, 512, 1), 7, 1, "valid", active=False)
    return keras.Model(pixels, layers.Flatten()(conv(x, 128, 1, active=False)))

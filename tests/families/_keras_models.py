"""Small Keras models, saved, with what Keras itself gives on images; run as a program of its own.

    KERAS_BACKEND=tensorflow python _keras_models.py FOLDER

writes for each FOLDER/NAME.keras, and FOLDER/NAME.npz with `pixels`, uint8 (N, height, width, 3), and
`output` or the outputs by name.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers


@dataclass(frozen=True, slots=True)
class Stage:
    """Inverted residuals, then attention of `depth` layers among `attention` channels, if that is not 0."""

    width: int
    stride: int = 1
    repeats: int = 1
    attention: int = 0
    depth: int = 1


def _block(x: Any, width: int, heads: int, mlp_ratio: int = 2, axes: tuple[int, ...] | None = None) -> Any:
    """A transformer block over (N, ..., tokens, width)."""
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.MultiHeadAttention(heads, width // heads, attention_axes=axes)(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.Dense(mlp_ratio * width, activation="gelu")(y)
    return layers.Add()([x, layers.Dense(width)(y)])


def vit(
    size: int = 32,
    patch: int = 8,
    width: int = 32,
    depth: int = 2,
    heads: int = 2,
    mlp_ratio: int = 2,
    classes: int = 5,
) -> keras.Model:
    """Positions come from a depthwise convolution, since Keras has no layer that only adds a table."""
    image = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(width, patch, patch, name="patches")(x)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Reshape(((size // patch) ** 2, width))(x)
    for _ in range(depth):
        x = _block(x, width, heads, mlp_ratio)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="head")(x), name="vit")


def _inverted(x: Any, width: int, stride: int) -> Any:
    """Expand, depthwise, project; batch norm and SiLU between."""
    y = layers.Conv2D(2 * x.shape[-1], 1, use_bias=False)(x)
    y = layers.Activation("silu")(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(y)
    y = layers.Activation("silu")(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(y))
    return layers.Add()([x, y]) if stride == 1 and x.shape[-1] == width else y


def _attend(x: Any, width: int, depth: int, heads: int) -> Any:
    """Attention among the pixels of one place in 2x2 patches of a map (N, side, side, channels)."""
    side, channels, local = x.shape[1], x.shape[-1], x
    x = layers.Conv2D(channels, 3, padding="same", activation="silu")(x)
    x = layers.Conv2D(width, 1, activation="silu")(x)
    x = layers.Reshape((side // 2, 2, side // 2, 2, width))(x)
    x = layers.Reshape((4, side * side // 4, width))(layers.Permute((2, 4, 1, 3, 5))(x))
    for _ in range(depth):
        x = _block(x, width, heads, axes=(2,))
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Permute((3, 1, 4, 2, 5))(layers.Reshape((2, 2, side // 2, side // 2, width))(x))
    x = layers.Conv2D(channels, 1, activation="silu")(layers.Reshape((side, side, width))(x))
    return layers.Conv2D(channels, 3, padding="same", activation="silu")(layers.Concatenate()([local, x]))


_STAGES = (Stage(8), Stage(16, stride=2, attention=24), Stage(24, stride=2))


def mobilevit(
    size: int = 64,
    stem: int = 8,
    stages: tuple[Stage, ...] = _STAGES,
    last: int = 48,
    heads: int = 2,
    classes: int = 5,
) -> keras.Model:
    """Mehta and Rastegari 2022: convolutions, and attention in some of the stages."""
    image = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(stem, 3, 2, padding="same", activation="silu")(x)
    for stage in stages:
        for number in range(stage.repeats):
            x = _inverted(x, stage.width, 1 if number else stage.stride)
        if stage.attention:
            x = _attend(x, stage.attention, stage.depth, heads)
    x = layers.Conv2D(last, 1, activation="silu")(x)
    x = layers.Dense(classes, name="head")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Softmax()(x), name="mobilevit")


def features(size: int = 32) -> keras.Model:
    """Two outputs and no classifier, for images of any size, values of 0 to 1."""
    image = keras.Input((None, None, 3), name="pixels")
    x = layers.Conv2D(8, 4, 4, activation="gelu")(image)
    return keras.Model(image, {"map": x, "pooled": layers.GlobalAveragePooling2D()(x)}, name="features")


def fill(model: keras.Model, seed: int) -> None:
    """Seeded values for every variable: nothing stays 0 or 1."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape, name = tuple(variable.shape), variable.name
        if name in ("gamma", "moving_variance"):
            values = rng.uniform(0.75, 1.5, shape)
        elif name in ("bias", "beta", "moving_mean"):
            values = 0.1 * rng.standard_normal(shape)
        elif "kernel" in name:
            fan_in = np.prod(shape[:-2] if name.startswith("depthwise") else shape[:-1])
            values = 1.25 * rng.standard_normal(shape) / np.sqrt(fan_in)
        else:
            continue  # the state of a random generator
        variable.assign(values.astype(np.float32))


def save(name: str, model: keras.Model, folder: Path) -> None:
    fill(model, seed=1)
    model.save(folder / f"{name}.keras")
    rng = np.random.default_rng(0)
    side = model.inputs[0].shape[1] or 32
    squares = rng.integers(0, 192, (2, 4, 4, 3)).repeat(side // 4, 1).repeat(side // 4, 2)
    pixels = (squares + rng.integers(0, 64, (2, side, side, 3))).astype(np.uint8)
    white = 1.0 if name == "features" else 255.0
    output = model(pixels.astype(np.float32) * np.float32(white / 255), training=False)
    found = output if isinstance(output, dict) else {"output": output}
    np.savez(
        folder / f"{name}.npz", pixels=pixels, **{key: np.asarray(value) for key, value in found.items()}
    )


if __name__ == "__main__":
    for factory in (vit, mobilevit, features):
        save(factory.__name__, factory(), Path(sys.argv[1]))

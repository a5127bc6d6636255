"""Reads and writes published ELMo weights in bilm-tf's HDF5 layout: the encoder, no softmax.

Names in the file are TensorFlow 1's scopes. The file has no embedding for id 0, which marks
positions without a word, and the two kernels of an LSTM are one dataset, inputs first.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from models.elmo.backbone import ElmoEncoder
from models.elmo.config import ElmoBackboneConfig
from models.errors import ConfigError
from models.tokenizers.character import CHARACTERS, WORD_LENGTH

_CHARACTERS = "char_embed"
_SUPPORTED: Mapping[str, tuple[int | str, ...]] = {
    "char_cnn.activation": ("relu",),
    "char_cnn.max_characters_per_token": (WORD_LENGTH,),
    # bilm-tf trains with 261 ids and uses the result with 262; the file of weights is the same.
    "char_cnn.n_characters": (CHARACTERS, CHARACTERS - 1),
}
"""Options of which only some values are supported."""


def read_options(path: pathlib.Path) -> ElmoBackboneConfig:
    """The encoder's sizes from the `options.json` that is published with the weights.

    Raises:
        ConfigError: the file cannot be used, or describes an unsupported encoder; names the option.
    """
    try:
        options = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the options cannot be read: {error.strerror}",
            where=str(path),
            remedy="give the options.json that is published with the weights",
        ) from error
    except ValueError as error:
        raise ConfigError(f"the options are not JSON: {error}", where=str(path)) from error

    def option(name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        return _option(path, options, name, kind, default)

    for name, values in _SUPPORTED.items():
        if (value := option(name, (int, str))) not in values:
            supported = " or ".join(map(repr, values))
            raise _wrong_option(path, name, value, f"give a model for which it is {supported}")
    filters = option("char_cnn.filters", list)
    if not all(isinstance(each, list) and list(map(type, each)) == [int, int] for each in filters):
        raise _wrong_option(path, "char_cnn.filters", filters, "give pairs of width and count")
    return ElmoBackboneConfig(
        character_embedding_size=option("char_cnn.embedding.dim", int),
        filters=tuple((width, count) for width, count in filters),
        num_highways=option("char_cnn.n_highway", int, default=0),
        num_layers=option("lstm.n_layers", int),
        units=option("lstm.dim", int),
        projection_size=option("lstm.projection_dim", int),
        dropout=float(option("dropout", (int, float), default=ElmoBackboneConfig.dropout)),
        cell_clip=float(option("lstm.cell_clip", (int, float))),
        projection_clip=float(option("lstm.proj_clip", (int, float))),
        skip_connections=option("lstm.use_skip_connections", bool, default=False),
    )


def _option(
    path: pathlib.Path, options: Any, name: str, kind: type | tuple[type, ...], default: Any
) -> Any:
    """The value of an option.

    Args:
        path: the file, for the error.
        options: the content of the file.
        name: the dotted name of the option.
        kind: the allowed types.
        default: the value of an option that is missing or null.

    Raises:
        ConfigError: the value has another type.
    """
    value = options
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    value = default if value is None else value
    if not isinstance(value, kind):
        remedy = "give the options of an encoder of characters with projected LSTMs"
        raise _wrong_option(path, name, value, remedy)
    return value


def _wrong_option(path: pathlib.Path, name: str, value: Any, remedy: str) -> ConfigError:
    return ConfigError(f"the option {name} is {value!r}", where=f"{path}: {name}", remedy=remedy)


def read_weights(path: pathlib.Path, encoder: ElmoEncoder) -> None:
    """Loads the weights of a file into an encoder, all or none.

    Raises:
        ConfigError: the file cannot be read, or a dataset is missing, unknown or of another shape;
            names the dataset.
    """
    layout = dict(_layout(encoder))
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            for name in sorted(layout.keys() ^ set(names)):
                raise ConfigError(
                    f"the weights lack {name}"
                    if name in layout
                    else f"the encoder has no variable for {name}",
                    where=f"{path}: {name}",
                    remedy="give the options that are published with the weights",
                )
            arrays = {name: np.asarray(file[name], np.float32) for name in names}
    except OSError as error:
        raise ConfigError(
            f"the weights cannot be read: {error}",
            where=str(path),
            remedy="give a file in the HDF5 layout that bilm-tf writes",
        ) from error
    for name, (_, shape) in layout.items():
        if arrays[name].shape != shape:
            raise ConfigError(
                f"{name} has shape {arrays[name].shape}, and the encoder expects {shape}",
                where=f"{path}: {name}",
                remedy="give the options that are published with the weights",
            )
    for name, (variables, _) in layout.items():
        array = arrays[name]
        if name == _CHARACTERS:
            array = np.pad(array, [[1, 0], [0, 0]])
        for variable, part in zip(variables, np.split(array, len(variables)), strict=True):
            variable.assign(part.reshape(variable.shape))


def write_weights(path: pathlib.Path, encoder: ElmoEncoder) -> None:
    """Writes an encoder's weights to a file, without the embedding of id 0."""
    with h5py.File(path, "w") as file:
        for name, (variables, shape) in _layout(encoder):
            array = np.concatenate([np.asarray(variable) for variable in variables])
            if name == _CHARACTERS:
                array = array[1:]
            file.create_dataset(name, data=array.reshape(shape))


def _layout(encoder: ElmoEncoder) -> Iterator[tuple[str, tuple[list[Any], tuple[int, ...]]]]:
    """Each dataset's name, the variables that it concatenates, and its shape."""

    def plain(variable: Any) -> tuple[list[Any], tuple[int, ...]]:
        return [variable], tuple(variable.shape)

    words = encoder.token_layer
    count, width = words.characters.shape
    yield _CHARACTERS, ([words.characters], (count - 1, width))
    for i, convolution in enumerate(words.convolutions):
        yield f"CNN/W_cnn_{i}", ([convolution.kernel], (1, *convolution.kernel.shape))
        yield f"CNN/b_cnn_{i}", plain(convolution.bias)
    for i, highway in enumerate(words.highways):
        for name, dense in (("carry", highway.carry), ("transform", highway.transform)):
            yield f"CNN_high_{i}/W_{name}", plain(dense.kernel)
            yield f"CNN_high_{i}/b_{name}", plain(dense.bias)
    yield "CNN_proj/W_proj", plain(words.projection.kernel)
    yield "CNN_proj/b_proj", plain(words.projection.bias)
    for direction, layers in enumerate((encoder.lstm.forward_layers, encoder.lstm.backward_layers)):
        for i, layer in enumerate(layers):
            scope = f"RNN_{direction}/RNN/MultiRNNCell/Cell{i}/LSTMCell"
            inputs, gates = layer.kernel.shape
            yield f"{scope}/W_0", ([layer.kernel, layer.recurrent_kernel], (2 * inputs, gates))
            yield f"{scope}/B", plain(layer.bias)
            yield f"{scope}/W_P_0", plain(layer.projection)

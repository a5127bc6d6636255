"""Tests of reading and writing published ELMo checkpoints."""

import dataclasses
import json
import os
import pathlib

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.backbone import ElmoEncoder, build_backbone
from models.elmo.checkpoint import read_options, read_weights, write_weights
from models.elmo.config import ElmoBackboneConfig
from models.errors import ConfigError
from models.tokenizers.character import SENTENCE_END, SENTENCE_START, CharacterTokenizer
from models.tokenizers.config import CharacterConfig

OPTIONS = {
    "lstm": {
        "cell_clip": 3,
        "use_skip_connections": True,
        "n_layers": 1,
        "proj_clip": 2.5,
        "projection_dim": 5,
        "dim": 7,
    },
    "char_cnn": {
        "embedding": {"dim": 4},
        "filters": [[1, 3], [2, 4]],
        "n_highway": 1,
        "n_characters": 262,
        "max_characters_per_token": 50,
        "activation": "relu",
    },
}
CONFIG = ElmoBackboneConfig(
    character_embedding_size=4,
    filters=((1, 3), (2, 4)),
    num_highways=1,
    num_layers=1,
    units=7,
    projection_size=5,
    projection_clip=2.5,
)
LSTM = "RNN/MultiRNNCell/Cell0/LSTMCell"
SHAPES = {
    "char_embed": (261, 4),
    "CNN/W_cnn_0": (1, 1, 4, 3),
    "CNN/b_cnn_0": (3,),
    "CNN/W_cnn_1": (1, 2, 4, 4),
    "CNN/b_cnn_1": (4,),
    "CNN_high_0/W_carry": (7, 7),
    "CNN_high_0/b_carry": (7,),
    "CNN_high_0/W_transform": (7, 7),
    "CNN_high_0/b_transform": (7,),
    "CNN_proj/W_proj": (7, 5),
    "CNN_proj/b_proj": (5,),
    **{
        f"RNN_{direction}/{LSTM}/{name}": shape
        for direction in (0, 1)
        for name, shape in {"W_0": (10, 28), "B": (28,), "W_P_0": (7, 5)}.items()
    },
}


def encoder(seed: int, config: ElmoBackboneConfig = CONFIG) -> ElmoEncoder:
    keras.utils.set_random_seed(seed)
    return build_backbone(config, None)  # type: ignore[arg-type]  # characters need no tokenizer


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "lm_weights.hdf5"
    write_weights(path, encoder(1))
    return path


def written(folder: pathlib.Path, **changes: object) -> pathlib.Path:
    """Options with those of `section__name` changed."""
    options = json.loads(json.dumps(OPTIONS))
    for name, value in changes.items():
        section, key = name.split("__")
        options[section][key] = value
    path = folder / "options.json"
    path.write_text(json.dumps(options), encoding="utf-8")
    return path


def test_a_file_has_the_published_names_and_shapes(path: pathlib.Path) -> None:
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None
            )
        )
    assert found == SHAPES


def test_written_weights_are_read_back(path: pathlib.Path) -> None:
    expected, found = encoder(1), encoder(2)
    read_weights(path, found)
    for one, other in zip(expected.weights, found.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_the_embedding_of_id_0_is_zero(path: pathlib.Path) -> None:
    shaken = encoder(1)
    characters = shaken.token_layer.characters
    characters.assign(characters + 1)
    read_weights(path, shaken)
    assert not np.any(characters[0])


def test_arrays_have_the_published_positions(path: pathlib.Path) -> None:
    model = encoder(1)
    with h5py.File(path) as file:
        words, lstm = model.token_layer, model.lstm.backward_layers[0]
        scope = file[f"RNN_1/{LSTM}"]
        np.testing.assert_array_equal(file["char_embed"], words.characters[1:])
        np.testing.assert_array_equal(file["CNN/W_cnn_1"][0], words.convolutions[1].kernel)
        np.testing.assert_array_equal(file["CNN_high_0/W_carry"], words.highways[0].carry.kernel)
        np.testing.assert_array_equal(scope["W_0"][:5], lstm.kernel)
        np.testing.assert_array_equal(scope["W_0"][5:], lstm.recurrent_kernel)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("CNN/b_cnn_1", None, "lack CNN/b_cnn_1"),
        ("CNN/b_cnn_2", (4,), "no variable for CNN/b_cnn_2"),
        (f"RNN_0/{LSTM}/W_P_0", (5, 7), r"W_P_0 has shape \(5, 7\).*expects \(7, 5\)"),
    ],
    ids=["missing", "surplus", "wrong shape"],
)
def test_other_weights_are_refused_by_name_and_none_is_assigned(
    path: pathlib.Path, name: str, shape: tuple[int, ...] | None, message: str
) -> None:
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if shape:
            file[name] = np.zeros(shape, np.float32)
    model, same = encoder(2), encoder(2)
    with pytest.raises(ConfigError, match=message) as refused:
        read_weights(path, model)
    assert refused.value.where == f"{path}: {name}"
    for one, other in zip(model.weights, same.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_that_has_no_weights_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(tmp_path / "none.hdf5", encoder(1))
    (tmp_path / "text.hdf5").write_text("text")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(tmp_path / "text.hdf5", encoder(1))


def test_options_give_the_sizes(tmp_path: pathlib.Path) -> None:
    assert read_options(written(tmp_path)) == CONFIG


def test_options_of_training_give_the_same_sizes(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, char_cnn__n_characters=261)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dropout": 0.25, "n_epochs": 10}))
    assert read_options(path) == dataclasses.replace(CONFIG, dropout=0.25)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"lstm__dim": None}, "lstm.dim"),
        ({"lstm__proj_clip": "3"}, "lstm.proj_clip"),
        ({"char_cnn__activation": "tanh"}, "char_cnn.activation"),
        ({"char_cnn__max_characters_per_token": 40}, "char_cnn.max_characters_per_token"),
        ({"char_cnn__filters": [[1, 3], [2]]}, "char_cnn.filters"),
        ({"char_cnn__embedding": {}}, "char_cnn.embedding.dim"),
    ],
)
def test_options_of_another_encoder_are_refused_by_name(
    tmp_path: pathlib.Path, changes: dict[str, object], name: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as refused:
        read_options(path)
    assert refused.value.where == f"{path}: {name}"


def test_a_file_that_has_no_options_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_options(tmp_path / "none.json")
    (tmp_path / "options.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        read_options(tmp_path / "options.json")


needs_data = pytest.mark.skipif(
    "POLYSEME_DATA" not in os.environ,
    reason="POLYSEME_DATA is not set: no published weights and activations to compare with",
)


@pytest.fixture(scope="module")
def fixture() -> pathlib.Path:
    return pathlib.Path(os.environ["POLYSEME_DATA"]) / "fixtures" / "elmo-allennlp"


@pytest.fixture(scope="module")
def published(fixture: pathlib.Path) -> ElmoEncoder:
    model = encoder(0, read_options(fixture / "options.json"))
    read_weights(fixture / "lm_weights.hdf5", model)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> CharacterTokenizer:
    return CharacterTokenizer(["<S>", "</S>", "<UNK>"], CharacterConfig())


@needs_data
def test_vectors_of_words_equal_the_published_ones(
    fixture: pathlib.Path, published: ElmoEncoder, tokenizer: CharacterTokenizer
) -> None:
    words = (fixture / "vocab_test.txt").read_text(encoding="utf-8").split("\n")
    rows = tokenizer.characters(tf.constant(words)).numpy()
    rows[words.index("<S>")] = SENTENCE_START
    rows[words.index("</S>")] = SENTENCE_END
    with h5py.File(fixture / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][...]
    np.testing.assert_allclose(published.token_layer(rows), expected, atol=1e-5)


@needs_data
def test_activations_equal_the_published_ones(
    fixture: pathlib.Path, published: ElmoEncoder, tokenizer: CharacterTokenizer
) -> None:
    texts = json.loads((fixture / "sentences.json").read_text(encoding="utf-8"))
    states = [published.zero_state(3), published.zero_state(3)]
    for batch in range(10):
        words = tf.ragged.constant([texts[row][batch].split() for row in range(3)])
        ids = words.with_flat_values(tokenizer.characters(words.flat_values))
        start, end = (
            tf.RaggedTensor.from_uniform_row_length(np.stack([marker] * 3), 1)
            for marker in (SENTENCE_START, SENTENCE_END)
        )
        ids = tf.concat([start, ids, end], axis=1)
        lengths = ids.row_lengths()
        tokens = published.token_layer(ids.to_tensor())
        mask = tf.sequence_mask(lengths, dtype=tf.int32)
        (forward, backward), states = published.run_both(
            [tokens, tf.reverse_sequence(tokens, lengths, seq_axis=1)], mask, states
        )
        backward = tf.reverse_sequence(backward[-1], lengths, seq_axis=1)
        for row, length in enumerate(words.row_lengths()):
            with h5py.File(fixture / f"lm_embeddings_{row}.hdf5") as file:
                expected = file[str(batch)][...]
            inside = slice(1, 1 + int(length))
            found = [forward[-1][row, inside], backward[row, inside]]
            np.testing.assert_allclose(found, expected, atol=1e-5)

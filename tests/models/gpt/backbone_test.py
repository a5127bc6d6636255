import math

import keras
import numpy as np
import pytest

from models.gpt.backbone import GptDecoder, build_backbone
from models.gpt.config import SIZES, GptBackboneConfig
from tests.testdata.little_gpt import CONFIG, tokenizer


def features(ids: list[list[int]], positions: list[list[int]] | None = None) -> dict:
    token_ids = np.array(ids, np.int32)
    if positions is None:
        positions = [list(range(token_ids.shape[1]))] * len(ids)
    return {
        "token_ids": token_ids,
        "padding_mask": np.ones_like(token_ids),
        "position_ids": np.array(positions, np.int32),
    }


@pytest.fixture(scope="module")
def decoder() -> GptDecoder:
    """Weights so large that no two inputs are answered alike."""
    keras.utils.set_random_seed(0)
    made = build_backbone(CONFIG.backbone, tokenizer())
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


def states(decoder: GptDecoder, given: dict) -> np.ndarray:
    return np.asarray(decoder(given, training=False)["hidden_states"])


class Entries:
    """Stands for a tokenizer: only the number of entries is asked."""

    def __init__(self, count: int) -> None:
        self.vocabulary = range(count)


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("small", 124_439_808),
        ("medium", 354_823_168),
        pytest.param("large", 774_030_080, marks=pytest.mark.e2e),
        pytest.param("xl", 1_557_611_200, marks=pytest.mark.e2e),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(
    size, parameters, monkeypatch
) -> None:
    config = SIZES[size]
    monkeypatch.setattr("models.gpt.backbone._initialize", lambda *_: None)  # it would draw them
    with keras.StatelessScope():  # weights are drawn when they are used, and not kept
        made = build_backbone(config, Entries(50_257))
    assert sum(math.prod(weight.shape) for weight in made.trainable_variables) == parameters


def test_nothing_sees_what_comes_after_it(decoder) -> None:
    first = states(decoder, features([[5, 6, 7, 8, 9]]))
    other = states(decoder, features([[5, 6, 7, 10, 11]]))
    np.testing.assert_allclose(first[:, :, :3], other[:, :, :3], atol=1e-5)
    assert np.abs(first[:, -1, 3:] - other[:, -1, 3:]).max() > 0.1


def test_a_document_is_alone_whatever_stands_before_it_in_the_row(decoder) -> None:
    alone = states(decoder, features([[5, 6, 7]]))
    apart = GptDecoder(decoder.decoder, separate_documents=True)
    after = states(apart, features([[9, 8, 5, 6, 7, 4]], [[0, 1, 0, 1, 2, 0]]))
    np.testing.assert_allclose(after[:, :, 2:5], alone, atol=1e-5)
    joined = states(decoder, features([[9, 8, 5, 6, 7, 4]]))
    assert np.abs(joined[:, -1, 2:5] - alone[:, -1]).max() > 0.1


def test_real_tokens_are_the_same_whether_documents_are_kept_apart_or_not(decoder) -> None:
    """A row that is one document needs no mask of its own, padded or not."""
    given = features([[5, 6, 7, 8, 9], [10, 11, 12, 4, 4]], [[0, 1, 2, 3, 4], [0, 1, 2, 0, 0]])
    given["padding_mask"][1, 3:] = 0
    apart = GptDecoder(decoder.decoder, separate_documents=True)
    plain, masked = states(decoder, given), states(apart, given)
    np.testing.assert_allclose(plain[0], masked[0], atol=1e-6)
    np.testing.assert_allclose(plain[1, :, :3], masked[1, :, :3], atol=1e-6)
    kerashubs = decoder.decoder(
        {name: given[name] for name in ("token_ids", "padding_mask")}, training=False
    )
    np.testing.assert_allclose(plain[0, -1], kerashubs[0], atol=1e-6)
    np.testing.assert_allclose(plain[1, -1, :3], kerashubs[1, :3], atol=1e-6)


def test_a_mask_of_each_row_is_made_only_to_keep_documents_apart(decoder) -> None:
    given = np.arange(6, dtype=np.int32)[None].repeat(3, axis=0)
    shapes = {
        apart: GptDecoder(decoder.decoder, separate_documents=apart)
        .get_layer("visible")(given)
        .shape
        for apart in (False, True)
    }
    assert {apart: tuple(shape) for apart, shape in shapes.items()} == {
        False: (1, 6, 6), True: (3, 6, 6),
    }  # fmt: skip


def test_the_last_layer_is_kerashubs_own_output(decoder) -> None:
    given = features([[5, 6, 7, 8]])
    expected = decoder.decoder(
        {name: given[name] for name in ("token_ids", "padding_mask")}, training=False
    )
    outputs = decoder(given, training=False)
    np.testing.assert_allclose(outputs["sequence_output"], expected, atol=1e-6)
    np.testing.assert_array_equal(outputs["hidden_states"][:, -1], outputs["sequence_output"])
    embeddings = np.asarray(decoder.decoder.token_embedding.embeddings)[[5, 6, 7, 8]]
    positions = np.asarray(decoder.decoder.position_embedding.position_embeddings)[:4]
    np.testing.assert_allclose(outputs["hidden_states"][0, 0], embeddings + positions, atol=1e-6)


def test_logits_are_products_with_the_embeddings(decoder) -> None:
    expected = np.asarray(decoder(features([[5, 6, 7]]), training=False)["sequence_output"])
    table = np.asarray(decoder.decoder.token_embedding.embeddings)
    np.testing.assert_allclose(decoder.logits(expected), expected @ table.T, rtol=1e-4, atol=1e-4)


def test_first_weights_have_the_spread_of_gpt_2() -> None:
    keras.utils.set_random_seed(0)
    config = GptBackboneConfig(layers=8, width=128, heads=4, max_length=64, initializer_range=0.05)
    made = build_backbone(config, Entries(500))
    spreads: dict[str, list[float]] = {"stream": [], "embeddings": [], "kernel": []}
    for weight in made.trainable_variables:
        writes = "attention_output" in weight.path or "feedforward_output" in weight.path
        kind = "stream" if writes and weight.name == "kernel" else weight.name
        if kind in spreads:
            spreads[kind].append(float(np.std(weight)))
    assert {kind: len(found) for kind, found in spreads.items()} == {
        "stream": 16, "embeddings": 2, "kernel": 32,
    }  # fmt: skip
    np.testing.assert_allclose(spreads["embeddings"], 0.05, rtol=0.05)
    np.testing.assert_allclose(spreads["kernel"], 0.05, rtol=0.05)
    np.testing.assert_allclose(spreads["stream"], 0.05 / 4, rtol=0.05)

"""Tests of BERT's signatures in a SavedModel."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.backbone import build_backbone
from models.bert.objective import BertObjective
from models.bert.pretraining import BertPretraining
from models.bert.serving import make_signatures, warmup_requests
from models.framing import longest_first
from tests.testdata.little_bert import CONFIG, SPECIAL, WORDS, tokenizer

LENGTH = 16  # of the texts, where the encoder has 32 positions
START, END, MASK = 2, 3, 4
THE, A, RIVER, BANK = 5, 6, 7, 8


@pytest.fixture(scope="module")
def model() -> BertPretraining:
    """A model with large weights, so that different inputs have different outputs."""
    keras.utils.set_random_seed(0)
    words = tokenizer()
    made = BertObjective(CONFIG.objective, words).build_model(
        build_backbone(CONFIG.backbone, words)
    )
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


@pytest.fixture(scope="module")
def signatures(model: BertPretraining):
    return make_signatures(model, tokenizer(), LENGTH)


def numpy(outputs) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in outputs.items()}


def answer(signature, *texts: list[str]) -> dict[str, np.ndarray]:
    return numpy(signature(*(tf.constant(column, tf.string) for column in texts)))


def encoded(model: BertPretraining, ids: list[int], first: int | None = None) -> dict:
    """The encoder on one row of ids, of which those after the `first` are B."""
    segments = np.arange(len(ids)) >= (len(ids) if first is None else first)
    return model.backbone(
        {
            "token_ids": np.array([ids], np.int32),
            "segment_ids": segments[np.newaxis].astype(np.int32),
            "padding_mask": np.ones((1, len(ids)), np.int32),
        }
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_there_are_four_signatures_with_warmup_requests(signatures) -> None:
    assert set(signatures) == {"serving_default", "hidden_states", "fill_mask", "next_sentence"}
    assert set(warmup_requests()) == set(signatures)


def test_a_text_has_a_vector_its_tokens_and_their_offsets(signatures) -> None:
    out = answer(signatures["serving_default"], ["The  Ships,", "银 ríver"])
    assert out["tokens"].tolist() == [
        [b"[CLS]", b"the", b"ship", b"##s", b",", b"[SEP]"],
        [b"[CLS]", b"[UNK]", b"river", b"[SEP]", b"", b""],
    ]
    assert out["starts"].tolist() == [[0, 0, 5, 9, 10, 0], [0, 0, 4, 0, 0, 0]]
    assert out["limits"].tolist() == [[0, 3, 9, 10, 11, 0], [0, 3, 10, 0, 0, 0]]
    assert out["padding_mask"].tolist() == [[1] * 6, [1] * 4 + [0] * 2]
    assert {name: value.dtype.name for name, value in out.items()} == {
        "pooled": "float32",
        "tokens": "object",
        "starts": "int64",
        "limits": "int64",
        "padding_mask": "int32",
    }


def test_vectors_equal_those_of_the_encoder_in_any_batch(model, signatures) -> None:
    texts = ["the river", "", "the bank of the river rose."]
    out = numpy(signatures["hidden_states"](tf.constant(texts), tf.tile([[0, 1, 2]], [3, 1])))
    pooled = answer(signatures["serving_default"], texts)["pooled"]
    for row, ids in enumerate([[THE, RIVER], [], [THE, BANK, 21, THE, RIVER, 9, 27]]):
        alone = encoded(model, [START, *ids, END])
        time = len(ids) + 2
        np.testing.assert_allclose(
            out["hidden_states"][row, :, :time], alone["hidden_states"][0], atol=1e-5
        )
        np.testing.assert_allclose(pooled[row], alone["pooled"][0], atol=1e-5)
    assert out["hidden_states"].shape == (3, 3, 9, 16)


def test_an_empty_text_has_only_two_special_tokens(signatures) -> None:
    for text in ("", " \n", "\x00"):
        out = answer(signatures["serving_default"], [text])
        assert out["tokens"].tolist() == [[b"[CLS]", b"[SEP]"]]
        assert out["limits"].tolist() == [[0, 0]]
        assert np.isfinite(out["pooled"]).all()


@pytest.mark.parametrize(
    ("name", "arguments", "shapes"),
    [
        ("serving_default", 1, {"pooled": (0, 16), "tokens": (0, None)}),
        (
            "fill_mask",
            1,
            {"words": (0, 0, 5), "probabilities": (0, 0, 5), "cut_mask_count": (0,)},
        ),
        ("next_sentence", 2, {"probability": (0,)}),
    ],
)
def test_an_empty_batch_gives_empty_outputs(
    signatures, name: str, arguments: int, shapes: dict[str, tuple[int | None, ...]]
) -> None:
    out = answer(signatures[name], *[[]] * arguments)
    assert {value.shape[0] for value in out.values()} == {0}
    for output, shape in shapes.items():
        assert tf.TensorShape(shape).is_compatible_with(out[output].shape)


@pytest.mark.parametrize(("words", "tokens"), [(13, 15), (14, 16), (15, 16), (99, 16)])
def test_a_text_is_cut_at_its_end(signatures, words: int, tokens: int) -> None:
    out = answer(signatures["serving_default"], ["a " * 5 + "the " * (words - 5), "a"])
    kept = [b"[CLS]", *[b"a"] * 5, *[b"the"] * (tokens - 7), b"[SEP]"]
    assert out["tokens"][0].tolist() == kept
    assert out["padding_mask"].sum(1).tolist() == [tokens, 3]
    assert out["starts"][0, -2] == 10 + 4 * (tokens - 8)


def test_a_special_token_written_in_a_text_is_text(signatures) -> None:
    out = answer(signatures["serving_default"], ["[CLS] [SEP]", "[MASK]"])
    unknown = [b"[UNK]"] * 3
    assert out["tokens"].tolist() == [
        [b"[CLS]", *unknown, *unknown, b"[SEP]"],
        [b"[CLS]", *unknown, b"[SEP]", *[b""] * 3],
    ]
    plain, special = "the river", "the [SEP] river"
    probability = answer(signatures["next_sentence"], [plain, special], ["a bank", "a bank"])
    assert probability["probability"][0] != probability["probability"][1]
    assert answer(signatures["fill_mask"], ["[CLS] [mask] [PAD]"])["mask_count"].tolist() == [0]


def test_fill_mask_returns_the_most_probable_words_of_each_mask_best_first(
    model, signatures
) -> None:
    texts = ["the river", "the [MASK] rose", "[MASK] [MASK]a[MASK]", ""]
    out = answer(signatures["fill_mask"], texts)
    assert out["mask_count"].tolist() == [0, 1, 3, 0]
    assert out["words"].shape == out["probabilities"].shape == (4, 3, 5)
    entries = np.array([*SPECIAL, *WORDS])
    for row, ids in {1: [THE, MASK, 9], 2: [MASK, MASK, A, MASK]}.items():
        framed = np.array([START, *ids, END])
        positions = np.flatnonzero(framed == MASK)
        sequence = encoded(model, framed.tolist())["sequence_output"]
        logits = np.asarray(model.masked_lm_head(sequence, positions[np.newaxis]))[0]
        expected = softmax(logits)
        best = np.argsort(-expected, axis=-1)[:, :5]
        count = len(positions)
        words = [[word.decode() for word in choices] for choices in out["words"][row, :count]]
        assert words == entries[best].tolist()
        np.testing.assert_allclose(
            out["probabilities"][row, :count],
            np.take_along_axis(expected, best, axis=-1),
            rtol=1e-4,
        )
    for row, count in enumerate(out["mask_count"]):
        assert set(out["words"][row, count:].ravel()) <= {b""}
        assert not out["probabilities"][row, count:].any()


def test_fill_mask_without_masks_has_no_rows(signatures) -> None:
    out = answer(signatures["fill_mask"], ["the river", "bank"])
    assert out["mask_count"].tolist() == [0, 0]
    assert out["words"].shape == out["probabilities"].shape == (2, 0, 5)


def test_a_mask_beyond_the_cut_is_left_out_and_counted(signatures) -> None:
    texts = ["the " * 13 + "[MASK] [MASK]", "the " * 14 + "[MASK]", "[MASK] " * 20]
    out = answer(signatures["fill_mask"], texts)
    assert out["mask_count"].tolist() == [1, 0, 14]
    assert out["cut_mask_count"].tolist() == [1, 1, 6]
    assert out["token_limit"].tolist() == [LENGTH] * 3
    assert out["words"].shape == (3, 14, 5)
    alone = answer(signatures["fill_mask"], ["the " * 13 + "[MASK]"])
    assert out["words"][0, :1].tolist() == alone["words"][0].tolist()


def test_next_sentence_returns_the_probability_of_the_head(model, signatures) -> None:
    first, second = ["the river", "", "bank"], ["a bank.", "the river", ""]
    out = answer(signatures["next_sentence"], first, second)["probability"]
    assert out.dtype == np.float32
    rows = [
        ([START, THE, RIVER, END, A, BANK, 27, END], 4),
        ([START, END, THE, RIVER, END], 2),
        ([START, BANK, END, END], 3),
    ]
    kernel, bias = map(np.asarray, model.next_sentence_head.weights)
    expected = [
        softmax(np.asarray(encoded(model, ids, segment)["pooled"]) @ kernel + bias)[0, 0]
        for ids, segment in rows
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-4)


def test_next_sentence_cuts_the_longer_text_at_its_end(signatures) -> None:
    lengths = list(itertools.product([0, 1, 5, 6, 7, 8, 13, 20], repeat=2))
    a, b = map(np.array, zip(*lengths, strict=True))
    words = np.array([word for word in WORDS if word.isalpha()])
    rng = np.random.default_rng(0)

    def texts(of: np.ndarray, left: np.ndarray) -> tuple[list[str], list[str]]:
        drawn = [rng.choice(words, length) for length in of]
        cut = [chosen[:kept] for chosen, kept in zip(drawn, left, strict=True)]
        return [" ".join(chosen) for chosen in drawn], [" ".join(chosen) for chosen in cut]

    a_left, b_left = (left.numpy() for left in longest_first(a, b, LENGTH - 3))
    assert (a_left < a).any()
    assert (b_left < b).any()
    (first, first_cut), (second, second_cut) = texts(a, a_left), texts(b, b_left)
    out = answer(signatures["next_sentence"], first, second)["probability"]
    by_hand = answer(signatures["next_sentence"], first_cut, second_cut)["probability"]
    np.testing.assert_array_equal(out, by_hand)
    assert len(np.unique(out.round(6))) > 50

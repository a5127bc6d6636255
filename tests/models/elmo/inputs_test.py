"""<S> and </S> around each text; training windows read the same rows of characters."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf

from models.elmo.examples import make_examples
from models.elmo.inputs import frame
from models.objective import TokenizedDocument
from models.tokenizers.character import SENTENCE_END, SENTENCE_START, unpack_rows
from tests.testdata.little_elmo import CONFIG, tokenizer

WORDS = tokenizer()
START, END, PADDING = SENTENCE_START.tolist(), SENTENCE_END.tolist(), [0] * 50


def rows(*texts: str) -> tf.RaggedTensor:
    return WORDS.tokenize(tf.constant(texts))


def test_single_texts() -> None:
    words = rows("The river", "")
    framed = frame(words)
    the, river = words[0].numpy().tolist()
    assert framed.features["character_ids"].numpy().tolist() == [
        [START, the, river, END],
        [START, END, PADDING, PADDING],
    ]
    assert framed.features["padding_mask"].numpy().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert framed.token_index.numpy().tolist() == [[-1, 0, 1, -1], [-1] * 4]


def test_pairs() -> None:
    first, second = rows("The river rose"), rows("Rain")
    framed = frame(first, second, max_length=7)
    the, river, _ = first[0].numpy().tolist()
    (rain,) = second[0].numpy().tolist()
    assert framed.ids.numpy().tolist() == [[START, the, river, END, START, rain, END]]
    assert framed.segments.numpy().tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_a_training_window_of_one_sentence_reads_the_same_rows() -> None:
    words = rows("The river rose.")
    document = TokenizedDocument.of("a", "paper", "en", [words[0].numpy()])
    (window,) = make_examples(
        [document],
        CONFIG.objective,
        WORDS.word_ids,
        np.random.default_rng(0),
        collections.Counter(),
    )
    count = int(window["padding_mask"][0].sum())
    framed = frame(words).ids.numpy()[0]
    forward = unpack_rows(tf.constant(window["character_ids"][0]))
    assert forward[:count].numpy().tolist() == framed[:-1].tolist()
    backward = unpack_rows(tf.constant(window["backward_character_ids"][0]))
    assert backward[:count].numpy().tolist() == framed[::-1][:-1].tolist()

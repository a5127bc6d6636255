"""Tests of the windows of ELMo examples."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.elmo import examples as elmo_examples
from models.elmo.config import ElmoObjectiveConfig
from models.elmo.examples import feature_spec, make_examples, read_ids, render_example
from models.examples import check, unstack
from models.objective import Example, RenderedToken, TokenizedDocument
from models.tokenizers.character import SENTENCE_END, SENTENCE_START, unpack_rows

START, END = 0, 1  # ids of the softmax; the id of word n is n + 10
FEATURES = ("character_ids", "word_ids", "next_ids")
CHARACTERS = ("character_ids", "backward_character_ids")
BACKWARD = ("backward_character_ids", "backward_word_ids", "previous_ids")


def row(number: int) -> np.ndarray:
    """The characters of a word of one byte."""
    return np.array([259, number + 65, 260] + [261] * 47, np.int32)


def ids_of(rows: np.ndarray) -> np.ndarray:
    return np.where(rows[:, 1] > 256, rows[:, 1] - 257, rows[:, 1] - 55)


def document(name: str, *sentences: list[int], source: str = "paper") -> TokenizedDocument:
    return TokenizedDocument.of(
        name, source, "en", [np.stack(list(map(row, s))) for s in sentences]
    )


def test_a_window_is_rendered_in_both_directions() -> None:
    softmax = ["<S>", "</S>", "<UNK>", *"?" * 8, "w1", "w2", "<UNK>", "w4"]
    names = {257: "<S>", 258: "</S>"}

    def words(rows: np.ndarray) -> list[str]:
        return [names.get(first, f"w{first - 65}") for first in rows[:, 1].tolist()]

    (example,), _ = made([document("a", [1, 2, 3], [4])], unroll=8, streams=1)
    assert render_example(example, words, softmax) == [
        [
            RenderedToken(" <S>", part="special"),
            RenderedToken(" w1", part="second"),
            RenderedToken(" w2", "<UNK>", "second"),
            RenderedToken(" w3", "</S>", "second"),
            RenderedToken(" <S>", part="special"),
            RenderedToken(" w4", "</S>"),
        ],
        [
            RenderedToken(" </S>", "<UNK>", "special"),
            RenderedToken(" w3", part="second"),
            RenderedToken(" w2", part="second"),
            RenderedToken(" w1", "<S>", "second"),
            RenderedToken(" </S>", part="special"),
            RenderedToken(" w4", "<S>"),
        ],
    ]


def random_documents(count: int) -> list[TokenizedDocument]:
    rng = np.random.default_rng(1)
    return [
        document(
            f"{number}",
            *(rng.integers(1, 99, rng.integers(1, 9)).tolist() for _ in range(rng.integers(1, 5))),
            source=f"source {number}",
        )
        for number in range(count)
    ]


def made(
    documents: list[TokenizedDocument], unroll: int, streams: int, *, seed: int = 0
) -> tuple[list[Example], collections.Counter[str]]:
    config = ElmoObjectiveConfig(unroll_steps=unroll, num_streams=streams)
    tally: collections.Counter[str] = collections.Counter()
    rng = np.random.default_rng(seed)
    made = make_examples(documents, config, ids_of, rng, tally)
    examples = [example for examples in made for example in unstack(examples)]
    for example in examples:
        check(example, feature_spec(config))
    return [as_read(example) for example in examples], tally


def as_read(example: Example) -> Example:
    """The example with the characters and ids that the model reads."""
    found = {name: unpack_rows(tf.constant(example[name])).numpy() for name in CHARACTERS}
    names = ("first_ids", "next_ids", "previous_ids")
    forward, backward = read_ids({name: example[name][None] for name in names})
    mask = example["padding_mask"]
    found |= {"word_ids": forward[0] * mask, "backward_word_ids": backward[0] * mask}
    return {**example, **{name: np.asarray(value) for name, value in found.items()}}


def real(examples: list[Example], name: str) -> list[int]:
    return np.concatenate([e[name][e["padding_mask"] > 0] for e in examples]).tolist()


def test_two_sentences_in_both_directions() -> None:
    (example,), tally = made([document("a", [1, 2, 3], [4])], unroll=8, streams=1)
    assert example["padding_mask"].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert example["word_ids"].tolist() == [START, 11, 12, 13, START, 14, 0, 0]
    assert example["next_ids"].tolist() == [11, 12, 13, END, 14, END, 0, 0]
    assert example["backward_word_ids"].tolist() == [END, 13, 12, 11, END, 14, 0, 0]
    assert example["previous_ids"].tolist() == [13, 12, 11, START, 14, START, 0, 0]
    expected = [SENTENCE_START, row(1), row(2), row(3), SENTENCE_START, row(4)]
    assert example["character_ids"][:6].tolist() == [each.tolist() for each in expected]
    expected = [SENTENCE_END, row(3), row(2), row(1), SENTENCE_END, row(4)]
    assert example["backward_character_ids"][:6].tolist() == [each.tolist() for each in expected]
    assert not example["character_ids"][6:].any()
    assert (example["stream"].tolist(), example["continues"].tolist()) == ([0], [0])
    assert (example["source"].tolist(), example["length"].tolist()) == ([b"paper"], [b"001-032"])
    assert tally == {"documents_without_text": 0, "empty_windows": 0}


def test_streams_are_contiguous_parts_of_the_text_and_come_in_rounds() -> None:
    documents = random_documents(30)
    whole = made(documents, unroll=5, streams=1)[0]
    examples, tally = made(documents, unroll=5, streams=4)
    assert [int(e["stream"][0]) for e in examples] == [0, 1, 2, 3] * (len(examples) // 4)
    assert [int(e["continues"][0]) for e in examples] == [0] * 4 + [1] * (len(examples) - 4)
    ordered = [e for stream in range(4) for e in examples[stream::4]]
    for name in (*FEATURES, *BACKWARD):
        assert real(ordered, name) == real(whole, name)
    empty = [not e["padding_mask"].any() for e in examples]
    assert sum(empty) == tally["empty_windows"] == -len(whole) % 4
    assert not any(empty[:-4])


def test_every_word_is_predicted_once_in_each_direction() -> None:
    documents = random_documents(30)
    examples, _ = made(documents, unroll=7, streams=3)
    sentences = [(p[:, 1] - 55).tolist() for d in documents for p in d.pieces]
    steps = [pair for s in sentences for pair in itertools.pairwise([START, *s, END])]
    back = [pair for s in sentences for pair in itertools.pairwise([END, *s[::-1], START])]
    for names, expected in ((FEATURES, steps), (BACKWARD, back)):
        pairs = zip(real(examples, names[1]), real(examples, names[2]), strict=True)
        assert collections.Counter(pairs) == collections.Counter(expected)


def test_a_window_has_the_source_of_the_document_in_which_it_begins() -> None:
    documents = [document("a", [1] * 9, source="a"), document("b", [2] * 9, source="b")]
    for example in made(documents, unroll=3, streams=1)[0]:
        first = example["word_ids"][0]
        if first != START:
            assert example["source"].tolist() == [{11: b"a", 12: b"b"}[int(first)]]


def test_documents_without_text_are_counted_and_the_order_is_random() -> None:
    assert made([document("a")], 4, 2) == ([], {"documents_without_text": 1})
    documents = random_documents(20)
    orders = [real(made(documents, 5, 2, seed=seed)[0], "word_ids") for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[1]) == sorted(orders[2])


def test_words_with_the_same_hash_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = random_documents(5)
    expected, _ = made(documents, unroll=5, streams=2)
    monkeypatch.setattr(
        elmo_examples, "hash_rows", lambda rows, odd: np.zeros(len(rows), np.uint64)
    )
    found, _ = made(documents, unroll=5, streams=2)
    for one, other in zip(found, expected, strict=True):
        assert {name: value.tolist() for name, value in one.items()} == {
            name: value.tolist() for name, value in other.items()
        }

"""Tests of the layout of BERT examples."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from models.bert.config import BertObjectiveConfig
from models.bert.examples import feature_spec, make_examples, render_example
from models.examples import check, unstack
from models.objective import Example, RenderedToken, TokenizedDocument
from tests.testdata.little_bert import CONFIG, SPECIAL, WORDS, documents

CONTINUES_WORD = np.array([word.startswith("##") for word in (*SPECIAL, *WORDS)])
ROLES = {"padding": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}


def made(
    of: list[TokenizedDocument], *, seed: int = 0, config: BertObjectiveConfig = CONFIG.objective
) -> tuple[list[Example], collections.Counter[str]]:
    tally: collections.Counter[str] = collections.Counter()
    made = make_examples(of, config, ROLES, CONTINUES_WORD, np.random.default_rng(seed), tally)
    return [example for examples in made for example in unstack(examples)], tally


def test_the_layout_of_one_example() -> None:
    alone = TokenizedDocument.of("a", "paper", "en", [np.array([10, 11]), np.array([12, 13, 14])])
    config = BertObjectiveConfig(
        sequence_length=10, max_predictions_per_seq=4, dupe_factor=1, short_seq_prob=0.0
    )
    (example,), tally = made([alone], config=config)
    token_ids = example["token_ids"].copy()
    (masked,) = np.flatnonzero(example["mask_weights"])
    position = example["mask_positions"][masked]
    token_ids[position] = example["mask_ids"][masked]
    assert token_ids.tolist() == [2, 10, 11, 3, 12, 13, 14, 3, 0, 0]
    assert example["segment_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert example["padding_mask"].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert position in (1, 2, 4, 5, 6)
    assert example["mask_weights"].tolist() == [1, 0, 0, 0]
    assert example["next_sentence_label"].tolist() == [0]  # "is next", as in published heads
    assert example["source"].tolist() == [b"paper"]
    assert example["length"].tolist() == [b"001-032"]
    assert tally["pairs_without_partner"] == 1


def test_an_example_in_words() -> None:
    vocabulary = [*SPECIAL, *WORDS]
    ids = {word: number for number, word in enumerate(vocabulary)}
    words = ["[CLS]", "the", "[MASK]", "##s", "[SEP]", "money", "[SEP]", "[PAD]"]
    example = {
        "token_ids": np.array([ids[word] for word in words]),
        "segment_ids": np.array([0, 0, 0, 0, 0, 1, 1, 0]),
        "padding_mask": np.array([1, 1, 1, 1, 1, 1, 1, 0]),
        "mask_positions": np.array([2, 3, 5, 0]),
        "mask_ids": np.array([ids["ship"], ids["##s"], ids["bank"], 0]),
        "mask_weights": np.array([1.0, 1.0, 1.0, 0.0], np.float32),
    }
    assert render_example(example, vocabulary, ROLES) == [
        RenderedToken(" [CLS]", part="special"),
        RenderedToken(" the"),
        RenderedToken(" [MASK]", "ship"),
        RenderedToken("s", "s"),
        RenderedToken(" [SEP]", part="special"),
        RenderedToken(" money", "bank", "second"),
        RenderedToken(" [SEP]", part="special"),
    ]


def test_the_layout_of_packed_sentences() -> None:
    texts = [
        TokenizedDocument.of("a", "paper", "en", [np.array([10, 11]), np.array([12])]),
        TokenizedDocument.of("b", "paper", "en", [np.array([13])]),
    ]
    config = BertObjectiveConfig(
        sequence_length=9,
        max_predictions_per_seq=2,
        dupe_factor=1,
        short_seq_prob=0.0,
        second_segment="none",
    )
    (example,), tally = made(texts, config=config)
    check(example, feature_spec(config))
    (position,) = example["mask_positions"][example["mask_weights"] > 0]
    token_ids = example["token_ids"].copy()
    token_ids[position] = example["mask_ids"][0]
    assert token_ids.tolist() in (
        [2, 10, 11, 12, 3, 13, 3, 0, 0],
        [2, 13, 3, 10, 11, 12, 3, 0, 0],
    )
    assert token_ids[position] >= 10
    assert not example["segment_ids"].any()
    assert example["padding_mask"].tolist() == [1] * 7 + [0] * 2
    assert tally == {"documents_without_text": 0, "cut_pieces": 0}


def test_packed_examples_cover_every_token_once_a_pass() -> None:
    config = dataclasses.replace(CONFIG.objective, second_segment="none", dupe_factor=2)
    texts = documents(30)
    examples, _ = made(texts, config=config)
    seen: collections.Counter[int] = collections.Counter()
    for example in examples:
        check(example, feature_spec(config))
        real = example["mask_weights"] > 0
        token_ids = example["token_ids"].copy()
        token_ids[example["mask_positions"][real]] = example["mask_ids"][real]
        seen.update(token_ids[token_ids >= len(SPECIAL)].tolist())
        assert set(example["mask_ids"][real].tolist()).isdisjoint(range(len(SPECIAL)))
    pieces = itertools.chain.from_iterable(document.pieces for document in texts)
    counts = np.bincount(np.concatenate(list(pieces)))
    assert seen == {token: 2 * n for token, n in enumerate(counts.tolist()) if n}


def test_in_sentence_order_both_segments_are_of_one_document() -> None:
    config = dataclasses.replace(CONFIG.objective, second_segment="sentence_order")
    texts = [
        TokenizedDocument.of(f"{n}", "paper", "en", [np.full(2, n, np.int32)] * 8)
        for n in range(len(SPECIAL), len(SPECIAL) + 20)
    ]
    examples, _ = made(texts, config=config)
    labels = []
    for example in examples:
        real = example["mask_weights"] > 0
        token_ids = example["token_ids"].copy()
        token_ids[example["mask_positions"][real]] = example["mask_ids"][real]
        assert len(set(token_ids[token_ids >= len(SPECIAL)].tolist())) == 1
        labels.append(int(example["next_sentence_label"][0]))
    assert 0.3 < np.mean(labels) < 0.7


@pytest.mark.parametrize("second", ["next_sentence", "sentence_order", "none"])
def test_every_example_fits_its_spec(second: str) -> None:
    config = dataclasses.replace(CONFIG.objective, second_segment=second)
    examples, _ = made(documents(9), config=config)
    assert len(examples) > 20
    for example in examples:
        check(example, feature_spec(config))


def test_every_example_fits_the_spec() -> None:
    examples, _ = made(documents(9))
    assert len(examples) > 30
    for example in examples:
        check(example, feature_spec(CONFIG.objective))
        real = example["padding_mask"].sum()
        assert example["padding_mask"].tolist() == [1] * real + [0] * (24 - real)
        assert not example["token_ids"][real:].any()
        assert np.sum(example["token_ids"] == ROLES["end"]) == 2
        assert example["token_ids"][0] == ROLES["start"]
        assert example["segment_ids"].sum() > 1


def test_the_same_generator_gives_the_same_examples() -> None:
    first, second, other = (
        made(documents(5))[0],
        made(documents(5))[0],
        made(documents(5), seed=1)[0],
    )
    as_lists = [
        [{name: value.tolist() for name, value in example.items()} for example in examples]
        for examples in (first, second, other)
    ]
    assert as_lists[0] == as_lists[1]
    assert as_lists[0] != as_lists[2]


def test_examples_of_a_document_do_not_stand_together() -> None:
    examples, _ = made(documents(9))
    sources = [example["source"][0] for example in examples]
    changes = sum(left != right for left, right in itertools.pairwise(sources))
    assert changes > len(sources) / 4


def test_a_sentence_longer_than_an_example_is_cut_and_counted() -> None:
    long = [
        TokenizedDocument.of(name, "paper", "en", [np.full(50, 10, np.int32)])
        for name in ("a", "b")
    ]
    config = dataclasses.replace(CONFIG.objective, dupe_factor=1, short_seq_prob=0.0)
    examples, tally = made(long, config=config)
    assert [example["padding_mask"].sum() for example in examples] == [24, 24]
    assert tally["truncated_tokens"] == 2 * (100 - 21)


def test_documents_without_text_are_counted() -> None:
    empty = [
        TokenizedDocument.of("a", "paper", "en", []),
        TokenizedDocument.of("b", "paper", "en", []),
    ]
    examples, tally = made(empty)
    assert examples == []
    assert tally["documents_without_text"] == 2


@pytest.mark.parametrize(
    ("time", "tokens", "bucket"),
    [(128, 61, b"033-064"), (128, 62, b"065-128"), (128, 125, b"065-128"), (512, 200, b"129-256")],
)
def test_length_buckets(time: int, tokens: int, bucket: bytes) -> None:
    config = BertObjectiveConfig(
        sequence_length=time, max_predictions_per_seq=77, dupe_factor=1, short_seq_prob=0.0
    )
    pieces = [np.full(1, 10, np.int32), np.full(tokens - 1, 10, np.int32)]
    (example,), _ = made([TokenizedDocument.of("a", "paper", "en", pieces)], config=config)
    assert example["padding_mask"].sum() == tokens + 3
    assert example["length"].tolist() == [bucket]


@pytest.mark.parametrize("longest", [1, 3])
def test_words_are_masked_whole(longest: int) -> None:
    settings = {"whole_word_mask": True, "max_ngram": longest, "max_predictions_per_seq": 6}
    config = dataclasses.replace(CONFIG.objective, **settings, mask_prob=0.25)
    examples, _ = made(documents(40), config=config)
    split = broken = 0
    for example in examples:
        taken = np.zeros(24, bool)
        taken[example["mask_positions"][example["mask_weights"] > 0]] = True
        token_ids = example["token_ids"].copy()
        token_ids[example["mask_positions"][::-1]] = example["mask_ids"][::-1]
        token_ids[0] = ROLES["start"]
        special = np.isin(token_ids, list(ROLES.values()))
        continues_word = CONTINUES_WORD[token_ids] & ~special & ~np.roll(special, 1)
        split += int(np.sum(continues_word & taken))
        broken += int(np.sum(continues_word & (taken != np.roll(taken, 1))))
    assert split > 20
    assert not broken


def test_masks_of_single_tokens_break_words() -> None:
    examples, _ = made(documents(40))
    broken = 0
    for example in examples:
        real = example["mask_weights"] > 0
        for position, label in zip(
            example["mask_positions"][real], example["mask_ids"][real], strict=True
        ):
            alone = position - 1 not in example["mask_positions"][real]
            after_special = example["token_ids"][position - 1] in (ROLES["start"], ROLES["end"])
            broken += int(CONTINUES_WORD[label] and alone and not after_special)
    assert broken

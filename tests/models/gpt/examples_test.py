"""Tests of the windows of GPT examples."""

import collections
import itertools

import numpy as np
import pytest

from models.examples import check, unstack
from models.gpt.config import GptObjectiveConfig
from models.gpt.examples import feature_spec, make_examples, render_example
from models.objective import Example, RenderedToken, TokenizedDocument

ENTRIES = [b"the", b" river", b" ro", b"se", b".", b"\n\n", b" \n a", b"  ", b""]
END = 8


def document(name: str, *ids: int, source: str = "paper") -> TokenizedDocument:
    return TokenizedDocument.of(name, source, "en", [np.array(ids, np.int32)] if ids else [])


def made(
    documents: list[TokenizedDocument], time: int, *, separate: bool = False, seed: int = 0
) -> tuple[list[Example], collections.Counter[str]]:
    config = GptObjectiveConfig(sequence_length=time, separate_documents=separate)
    tally: collections.Counter[str] = collections.Counter()
    rng = np.random.default_rng(seed)
    made = make_examples(documents, config, END, ENTRIES, rng, tally)
    return [example for examples in made for example in unstack(examples)], tally


def random_documents(count: int) -> list[TokenizedDocument]:
    rng = np.random.default_rng(1)
    return [
        document(f"{i}", *rng.integers(0, END, rng.integers(1, 30)), source=f"source {i}")
        for i in range(count)
    ]


def test_one_document_is_between_two_end_of_text_tokens() -> None:
    (example,), tally = made([document("a", 0, 1, 2, 3, 4)], 8)
    assert example["token_ids"].tolist() == [8, 0, 1, 2, 3, 4, 8, 8]
    assert example["label_ids"].tolist() == [0, 1, 2, 3, 4, 8, 8, 8]
    assert example["padding_mask"].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert example["position_ids"].tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert example["byte_count"].tolist() == [len("the river rose.")]
    assert example["word_count"].tolist() == [3]
    assert example["source"].tolist() == [b"paper"]
    assert example["length"].tolist() == [b"001-032"]
    assert tally == {"documents_without_text": 0, "padded_windows": 1}


def test_a_window_is_rendered() -> None:
    entries = [*ENTRIES[:4], b"\xc3", b"\xa9", b"caf", b"", b""]
    (example,), _ = made([document("a", 0, 6, 4, 5, 1)], 6)
    assert render_example(example, entries, END) == [
        RenderedToken("<|endoftext|>", part="special"),
        RenderedToken("the", part="second"),
        RenderedToken("caf", part="second"),
        RenderedToken("\ufffd", part="second"),
        RenderedToken("\ufffd", part="second"),
        RenderedToken(" river", "<|endoftext|>", "second"),
    ]
    examples, _ = made([document("a", 0), document("b", 1)], 8)
    rendered = render_example(examples[0], ENTRIES, END)
    assert [token.part for token in rendered] == ["special", "second", "special", "first"]
    assert {token.text for token in rendered[1::2]} == {"the", " river"}


def test_every_token_is_a_label_once_and_follows_its_predecessor() -> None:
    documents = random_documents(40)
    examples, tally = made(documents, 16)
    for example in examples:
        check(example, feature_spec(GptObjectiveConfig(sequence_length=16)))
    real = [example["padding_mask"].astype(bool) for example in examples]
    labels = np.concatenate([e["label_ids"][r] for e, r in zip(examples, real, strict=True)])
    expected = collections.Counter(np.concatenate([d.pieces[0] for d in documents]).tolist())
    assert collections.Counter(labels.tolist()) == expected + collections.Counter({END: 40})
    for example, where in zip(examples, real, strict=True):
        assert example["token_ids"][where][1:].tolist() == example["label_ids"][where][:-1].tolist()
    assert sum(not where.all() for where in real) == tally["padded_windows"] == 1
    assert sum(example["byte_count"][0] for example in examples) == sum(
        len(b"".join(ENTRIES[i] for i in document.pieces[0])) for document in documents
    )
    assert sum(example["word_count"][0] for example in examples) == sum(
        len(b"".join(ENTRIES[i] for i in document.pieces[0]).split()) for document in documents
    )


def test_windows_cover_the_whole_stream() -> None:
    documents = random_documents(20)
    examples, _ = made(documents, 3)
    found = collections.Counter(
        (int(token), int(label))
        for example in examples
        for token, label, real in zip(
            example["token_ids"], example["label_ids"], example["padding_mask"], strict=True
        )
        if real
    )
    streams = ([END, *document.pieces[0].tolist(), END] for document in documents)
    assert found == sum(map(collections.Counter, map(itertools.pairwise, streams)), found - found)


def test_positions_begin_at_0_in_each_window_or_in_each_separate_document() -> None:
    documents = [document("a", 0, 1), document("b", 2, 3)]
    (joined,), _ = made(documents, 7)
    assert joined["position_ids"].tolist() == [0, 1, 2, 3, 4, 5, 0]
    (separate,), _ = made(documents, 7, separate=True)
    assert separate["position_ids"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert separate["token_ids"].tolist() == joined["token_ids"].tolist()
    cut, _ = made(documents, 2, separate=True)
    positions = {tuple(e["token_ids"].tolist()): e["position_ids"].tolist() for e in cut}
    assert positions in (
        {(8, 0): [0, 1], (1, 8): [0, 0], (2, 3): [0, 1]},
        {(8, 2): [0, 1], (3, 8): [0, 0], (0, 1): [0, 1]},
    )


def test_words_are_counted_across_tokens_of_white_space() -> None:
    ids = [5, 0, 3, 6, 7, 4]  # "\n\n" "the" "se" " \n a" "  " "."
    (example,), _ = made([document("a", *ids)], 7)
    assert example["word_count"].tolist() == [3]
    by_window, _ = made([document("a", *ids)], 1)
    assert sum(example["word_count"][0] for example in by_window) == 3


def test_documents_without_text_are_counted() -> None:
    assert made([document("a")], 4) == ([], {"documents_without_text": 1})
    examples, tally = made([document("a"), document("b", 0)], 4)
    assert len(examples) == 1
    assert tally["documents_without_text"] == 1


@pytest.mark.parametrize("separate", [False, True])
def test_the_seed_changes_only_the_order(separate: bool) -> None:
    def order(seed: int) -> list[list[int]]:
        examples, _ = made(random_documents(20), 8, separate=separate, seed=seed)
        return [example["token_ids"].tolist() for example in examples]

    assert order(0) == order(0) != order(1)
    assert sorted(itertools.chain(*order(0)))[:50] == sorted(itertools.chain(*order(1)))[:50]


def test_a_window_has_the_source_of_the_document_in_which_it_begins() -> None:
    documents = [document("a", *[0] * 9, source="a"), document("b", *[1] * 9, source="b")]
    examples, _ = made(documents, 4)
    for example in examples:
        first = example["token_ids"][0]
        if first != END:
            assert example["source"].tolist() == [[b"a", b"b"][first]]

"""Tests of tokenizing documents in batches, and of the vocabulary's coverage."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

import pytest
import tensorflow as tf

from components.documents import Document
from components.examples import tokenization
from components.examples.tokenization import (
    Coverage,
    GraphTokenizer,
    tokenize_documents,
    worst_documents,
)
from models.bert.objective import BertObjective
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.character import CharacterTokenizer
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from models.tokenizers.sentences import split_sentences
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.wordpiece import WordPieceTokenizer
from tests.testdata import little_bert

EMPTY = Document("empty", "\x01\x02", "letters", "en", 0)
DOCUMENTS = [Document(f"t/{n}", little_bert.text(n), "paper", "en", 0) for n in range(6)]


def test_the_graph_gives_ids_and_row_splits() -> None:
    tokenizer = little_bert.tokenizer()
    texts = tf.constant(["The river rose.", "", "river"])
    ids = tokenizer.tokenize(texts).to_list()
    graph = GraphTokenizer(tokenizer)
    for values, *starts, splits in (graph.ids(texts), graph.ids_and_starts(texts)):
        assert values.numpy().tolist() == ids[0] + ids[2]
        assert splits.numpy().tolist() == [0, 4, 4, 5]
        assert [s.numpy().tolist() for s in starts] in ([], [[0, 4, 10, 14, 0]])


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_batches_across_documents_change_nothing(
    monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    tokenizer = little_bert.tokenizer()
    objective = BertObjective(little_bert.CONFIG.objective, tokenizer)
    documents = [
        *DOCUMENTS[:3],
        EMPTY,
        *DOCUMENTS[3:6],
        Document("z", "\x01\nWe sail.\n\x02", "b", "en", 0),
    ]
    sizes, tally = [], collections.Counter[str]()

    class Counting(GraphTokenizer):
        def ids(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            sizes.append(len(texts))
            return super().ids(texts)

    monkeypatch.setattr(tokenization, "_BATCH_PIECES", pieces)
    found = tokenize_documents(documents, objective, Counting(tokenizer), tally)
    expected = [
        [
            ids.tolist()
            for sentence in split_sentences(document.text, "en")
            if len(ids := tokenizer.tokenize(tf.constant([sentence]))[0].numpy())
        ]
        for document in documents
    ]
    assert [[ids.tolist() for ids in document.pieces] for document in found] == expected
    assert [(d.id, d.source, d.lang) for d in found] == [
        (d.id, d.source, d.lang) for d in documents
    ]
    assert tally == {"pieces_without_token": 3}
    assert set(sizes[:-1]) == {pieces}
    assert sum(sizes) == sum(map(len, expected)) + 3


def test_tokens_that_begin_a_word_follow_the_objectives_segmenter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "河", "岸", "上", "涨", "了", "ship", "##s"],
        WordPieceConfig(vocabulary_size=12),
    )
    words = {
        "河岸上涨了": ["河岸", "上涨", "了"],
        "\x01": ["\x01"],
        " ships 河": [" ", "ships", " ", "河"],
    }

    class Segmenting(BertObjective):
        def segmenter(self, lang: str) -> Callable[[str], Sequence[str]] | None:
            return words.__getitem__ if lang == "zh" else None

        def split(self, text: str, lang: str) -> list[str]:
            return text.split("\n")

    objective = Segmenting(little_bert.CONFIG.objective, tokenizer)
    documents = [
        Document("a", "河岸上涨了\n\x01\n ships 河", "b", "zh", 0),
        Document("b", "ships", "b", "en", 0),
    ]
    for pieces in (1, 100):
        monkeypatch.setattr(tokenization, "_BATCH_PIECES", pieces)
        tally: collections.Counter[str] = collections.Counter()
        first, second = tokenize_documents(documents, objective, GraphTokenizer(tokenizer), tally)
        assert first.begins is not None
        assert first.begins.tolist() == [True, False, True, False, True, True, False, True]
        assert [ids.tolist() for ids in first.pieces] == [[5, 6, 7, 8, 9], [10, 11, 5]]
        assert second.begins is None
        assert [ids.tolist() for ids in second.pieces] == [[10, 11]]
        assert tally == {"pieces_without_token": 1}


def covered(tokenizer: Tokenizer, *texts: str) -> Coverage:
    documents = [Document(f"d{n}", text, "s", "en", 0) for n, text in enumerate(texts)]
    objective = BertObjective(little_bert.CONFIG.objective, little_bert.tokenizer())
    coverage = Coverage()
    graph = GraphTokenizer(tokenizer)
    tokenize_documents(documents, objective, graph, collections.Counter(), coverage)
    return coverage


def test_unknown_tokens_are_weighted_by_the_bytes_they_stand_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = (
        "The river rose. We sail.",
        "\u0e04\u0e23\u0e39\u0e40 rose.",
        "Our Zulu ship. \u8239 sail",
    )
    for pieces in (1, 100):
        monkeypatch.setattr(tokenization, "_BATCH_PIECES", pieces)
        found = covered(little_bert.tokenizer(), *texts)
        assert found.counts == {
            "bytes": 20 + 17 + 19,
            "words": 5 + 2 + 5,
            "tokens": 7 + 3 + 6,
            "unknown_tokens": 3,
            "unknown_bytes": 12 + 4 + 3,
        }
        assert [(each["id"], each["unknown_share"]) for each in found.worst] == [
            ("d1", round(12 / 17, 4)),
            ("d2", round(7 / 19, 4)),
        ]
    assert found.worst[1]["start"] == texts[2]


def test_unknown_words_are_counted_if_the_model_reads_them() -> None:
    tokenizer = CharacterTokenizer(["<S>", "</S>", "<UNK>", "the", "river", "."], CharacterConfig())
    found = covered(tokenizer, "the river .", "the interminable river .")
    assert (found.counts["tokens"], found.counts["unknown_tokens"]) == (7, 1)
    assert found.counts["unknown_bytes"] == 0
    assert [(each["id"], each["unknown_share"]) for each in found.worst] == [("d1", 0.25)]


def test_nothing_is_unknown_to_a_byte_tokenizer() -> None:
    tokenizer = ByteBpeTokenizer.learn({"river": 3, "rose": 3}, ByteBpeConfig(vocabulary_size=260))
    found = covered(tokenizer, "\u8239 \u0e04")
    assert found.counts["tokens"] > 0
    assert (found.counts["unknown_tokens"], found.worst) == (0, [])


def test_the_worst_documents_are_the_same_in_any_order() -> None:
    shares = {"a": 0.5, "b": 0.9, "c": 0.5, "d": 0.1}
    items = [{"id": name, "unknown_share": share} for name, share in shares.items()]
    assert [each["id"] for each in worst_documents(items)] == ["b", "a", "c"]
    assert worst_documents(items[::-1]) == worst_documents(items)

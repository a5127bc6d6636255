"""Documents to ids: the same in any batches, and what gives no token is counted."""

from __future__ import annotations

import collections

import pytest
import tensorflow as tf

from components import tokenization
from components.documents import Document
from components.tokenization import graph_function, tokenize_documents
from models.bert.objective import BertObjective
from models.tokenizers.sentences import split_sentences
from tests.testdata import little_bert

EMPTY = Document("empty", "\x01\x02", "letters", "en", 0)
DOCUMENTS = [Document(f"t/{n}", little_bert.text(n), "paper", "en", 0) for n in range(6)]


def test_the_graph_gives_ids_and_row_splits() -> None:
    tokenizer = little_bert.tokenizer()
    values, splits = graph_function(tokenizer)(tf.constant(["The river rose.", "", "river"]))
    ids = tokenizer.tokenize(tf.constant(["The river rose.", "", "river"])).to_list()
    assert values.numpy().tolist() == ids[0] + ids[2]
    assert splits.numpy().tolist() == [0, len(ids[0]), len(ids[0]), len(ids[0]) + 1]


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

    def tokenize(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sizes.append(len(texts))
        ids = tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    monkeypatch.setattr(tokenization, "_PIECES", pieces)
    found = tokenize_documents(documents, objective, tokenize, tally)
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

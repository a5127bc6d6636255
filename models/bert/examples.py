"""BERT's training examples out of tokenized documents: pairs, truncation, layout, masks."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.bert.config import BertObjectiveConfig
from models.bert.masking import mask_words
from models.bert.pairs import Corpus, Pairs, make_pairs, truncate_pairs
from models.examples import length_buckets
from models.objective import Example, Feature, FeatureSpec, TokenizedDocument

SPECIAL_TOKENS = 3  # [CLS] A [SEP] B [SEP]
_BLOCK = 4_096  # examples laid out at a time, which bounds the memory


def feature_spec(config: BertObjectiveConfig) -> FeatureSpec:
    """The schema of an example; `next_sentence_label` is 1 where B follows A."""
    time, masks = (config.sequence_length,), (config.max_predictions,)
    return {
        "token_ids": Feature(time, "int64", "[CLS] A [SEP] B [SEP], padded"),
        "segment_ids": Feature(time, "int64", "0 up to the first [SEP], 1 for B, 0 for padding"),
        "padding_mask": Feature(time, "int64", "1 for a real token"),
        "mask_positions": Feature(masks, "int64", "positions to predict, ascending, padded by 0"),
        "mask_ids": Feature(masks, "int64", "the ids to predict there"),
        "mask_weights": Feature(masks, "float32", "1 for a position to predict, 0 for padding"),
        "next_sentence_label": Feature((1,), "int64", "1 if B follows A, else 0"),
        "source": Feature((1,), "string", "source of A's document"),
        "length": Feature((1,), "string", "bucket of the number of real tokens, as 065-128"),
    }


def make_examples(
    documents: Sequence[TokenizedDocument],
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    goes_on: np.ndarray,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[Example]:
    """Examples of one group, shuffled; a pure function of its arguments.

    Args:
        documents: the group.
        config: lengths, shares and how to mask.
        special_ids: by role.
        goes_on: bool `[vocabulary]`, entries that go on with the word of the token before.
        rng: the only source of chance.
        tally: what was dropped, cut or forced.

    Tallies `documents_without_text`, `truncated_tokens`, `pairs_without_partner` and
    `chunks_without_partner`.
    """
    tally["documents_without_text"] += sum(not document.pieces for document in documents)
    corpus = Corpus.of(documents)
    max_tokens = config.sequence_length - SPECIAL_TOKENS
    pairs = make_pairs(
        corpus,
        max_tokens=max_tokens,
        short_share=config.short_sequence_share,
        passes=config.dupe_factor,
        rng=rng,
        tally=tally,
    )
    pairs = truncate_pairs(pairs.take(rng.permutation(len(pairs))), max_tokens, rng, tally)
    words = np.setdiff1d(np.arange(len(goes_on)), list(special_ids.values()))
    if not config.whole_words:
        goes_on = np.zeros(len(goes_on), bool)
    buckets = length_buckets(config.sequence_length)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs.take(np.arange(begin, min(begin + _BLOCK, len(pairs))))
        yield from _block_examples(corpus, block, config, special_ids, words, goes_on, buckets, rng)


def _block_examples(
    corpus: Corpus,
    pairs: Pairs,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    words: np.ndarray,
    goes_on: np.ndarray,
    buckets: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[Example]:
    token_ids, in_a, in_b = _lay_out(corpus, pairs, config.sequence_length, special_ids)
    lengths = pairs.a_length + pairs.b_length + SPECIAL_TOKENS
    masked = mask_words(
        token_ids,
        in_a | in_b,
        lengths,
        share=config.masked_share,
        max_predictions=config.max_predictions,
        mask_id=special_ids["mask"],
        words=words,
        rng=rng,
        begins=~goes_on[token_ids] if config.whole_words or config.longest_ngram > 1 else None,
        longest_ngram=config.longest_ngram,
    )
    column = np.arange(config.sequence_length)
    real = column < lengths[:, None]
    second = real & (column >= pairs.a_length[:, None] + 2)
    sources = np.array(corpus.sources, object)[pairs.document]
    columns = {
        "token_ids": masked.token_ids,
        "segment_ids": second.astype(np.int64),
        "padding_mask": real.astype(np.int64),
        "mask_positions": masked.positions,
        "mask_ids": masked.labels,
        "mask_weights": masked.weights,
        "next_sentence_label": pairs.follows[:, None],
        "source": sources[:, None],
        "length": buckets[lengths][:, None],
    }
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _lay_out(
    corpus: Corpus, pairs: Pairs, time: int, special_ids: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64 `[pairs, time]` of `[CLS] A [SEP] B [SEP]` and padding, and where A and B stand."""
    column = np.arange(time)
    a_end = pairs.a_length[:, None] + 1
    b_end = a_end + 1 + pairs.b_length[:, None]
    in_a = (column >= 1) & (column < a_end)
    in_b = (column > a_end) & (column < b_end)
    a_index = pairs.a_start[:, None] + (column - 1)
    b_index = pairs.b_start[:, None] + (column - a_end - 1)
    index = np.where(in_a, a_index, np.where(in_b, b_index, 0))
    token_ids = np.where(in_a | in_b, corpus.tokens[index].astype(np.int64), special_ids["padding"])
    token_ids[:, 0] = special_ids["start"]
    rows = np.arange(len(pairs))
    token_ids[rows, a_end[:, 0]] = special_ids["end"]
    token_ids[rows, b_end[:, 0]] = special_ids["end"]
    return token_ids, in_a, in_b

"""BERT's training examples out of tokenized documents: segments, truncation, layout, masks."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.bert.config import BertObjectiveConfig
from models.bert.masking import mask_words
from models.bert.packing import Packed, pack
from models.bert.pairs import Corpus, Pairs, make_pairs, truncate_pairs
from models.examples import length_buckets
from models.objective import (
    Example,
    Examples,
    Feature,
    FeatureSpec,
    Labels,
    Position,
    TokenizedDocument,
)
from models.tokenizers.wordpiece import CONTINUATION

SPECIAL_TOKENS = 3  # [CLS] A [SEP] B [SEP]
_BLOCK = 4_096  # examples laid out at a time, which bounds the memory
_NEXT_SENTENCE = Labels(
    ("B follows A", "B does not follow A"),
    "give documents of several sentences each (in .txt files a blank line ends a document), or"
    " train without pairs: model.objective.second_segment=none",
)


def feature_spec(config: BertObjectiveConfig) -> FeatureSpec:
    """The schema of an example; `next_sentence_label` is 0 where B follows A."""
    of_masks = functools.partial(Feature, (config.max_predictions_per_seq,), axis="masks")
    along_time = functools.partial(Feature, (config.sequence_length,), "int64", axis="time")
    spec = {
        "token_ids": along_time("[CLS] A [SEP] B [SEP], padded"),
        "segment_ids": along_time("0 up to the first [SEP], 1 for B, 0 for padding"),
        "padding_mask": along_time("1 for a real token"),
        "mask_positions": of_masks("int64", "positions to predict, ascending, padded by 0"),
        "mask_ids": of_masks("int64", "the ids to predict there"),
        "mask_weights": of_masks("float32", "1 for a position to predict, 0 for padding"),
        "next_sentence_label": Feature(
            (1,), "int64", "0 if B follows A, else 1", labels=_NEXT_SENTENCE
        ),
        "source": Feature((1,), "string", "source of A's document"),
        "length": Feature((1,), "string", "bucket of the number of real tokens, as 065-128"),
    }
    if config.second_segment == "none":
        del spec["next_sentence_label"]
        spec["token_ids"] = along_time("[CLS] and sentences, [SEP] where a text ends")
        spec["segment_ids"] = along_time("0")
        spec["source"] = Feature((1,), "string", "source of the first document")
    return spec


def spell(
    example: Example, vocabulary: Sequence[str], special_ids: Mapping[str, int]
) -> list[Position]:
    """The real positions of an example, with the labels of those that are to be predicted."""
    labels = {
        int(position): vocabulary[label].removeprefix(CONTINUATION)
        for position, label, weight in zip(
            example["mask_positions"], example["mask_ids"], example["mask_weights"], strict=True
        )
        if weight > 0
    }
    special = {special_ids[role] for role in ("start", "end")}
    positions = []
    for place in range(int(example["padding_mask"].sum())):
        token, segment = int(example["token_ids"][place]), int(example["segment_ids"][place])
        word = vocabulary[token]
        inside = word.startswith(CONTINUATION)
        positions.append(
            Position(
                text=word.removeprefix(CONTINUATION) if inside else f" {word}",
                label=labels.get(place),
                part="special" if token in special else ("first", "second")[segment],
            )
        )
    return positions


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Examples before masking.

    Attributes:
        token_ids: int64 `[examples, time]`.
        begins: bool `[examples, time]`, tokens that begin a word.
        maskable: bool `[examples, time]`, real tokens that are not special.
        second: bool `[examples, time]`, segment B.
        lengths: int64 `[examples]`, real tokens.
        document: int64 `[examples]`.
        follows: int64 `[examples]`, None where there is no B.
    """

    token_ids: np.ndarray
    begins: np.ndarray
    maskable: np.ndarray
    second: np.ndarray
    lengths: np.ndarray
    document: np.ndarray
    follows: np.ndarray | None


def make_examples(
    documents: Sequence[TokenizedDocument],
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    goes_on: np.ndarray,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Examples of one group, shuffled; a pure function of its arguments.

    Packed sentences are shuffled within each of the passes that `dupe_factor` counts.

    Args:
        documents: the group.
        config: lengths, shares and how to mask.
        special_ids: by role.
        goes_on: bool `[vocabulary]`, entries that go on with the word of the token before.
        rng: the only source of chance.
        tally: gets `documents_without_text`, `truncated_tokens`, `pairs_without_partner` and
            `chunks_without_partner`; of packed sentences `cut_pieces`.
    """
    tally["documents_without_text"] += sum(not len(document.lengths) for document in documents)
    corpus = Corpus.of(documents, goes_on if config.whole_word_mask else np.zeros_like(goes_on))
    words = np.setdiff1d(np.arange(len(goes_on)), list(special_ids.values()))
    buckets = length_buckets(config.sequence_length)
    lay_out = _packed if config.second_segment == "none" else _paired
    for layout in lay_out(corpus, config, special_ids, rng, tally):
        yield _masked(layout, corpus, config, special_ids, words, buckets, rng)


def _paired(
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[_Layout]:
    max_tokens = config.sequence_length - SPECIAL_TOKENS
    pairs = make_pairs(
        corpus,
        max_tokens=max_tokens,
        short_share=config.short_seq_prob,
        passes=config.dupe_factor,
        rng=rng,
        tally=tally,
        order=config.second_segment == "sentence_order",
    )
    pairs = truncate_pairs(pairs.take(rng.permutation(len(pairs))), max_tokens, rng, tally)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs.take(np.arange(begin, min(begin + _BLOCK, len(pairs))))
        yield _lay_out_pairs(corpus, block, config.sequence_length, special_ids)


def _packed(
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[_Layout]:
    for _ in range(config.dupe_factor):
        packed = pack(
            corpus,
            max_tokens=config.sequence_length - 2,
            short_share=config.short_seq_prob,
            separator=special_ids["end"],
            rng=rng,
            tally=tally,
        )
        order = rng.permutation(len(packed))
        for begin in range(0, len(packed), _BLOCK):
            rows = order[begin : begin + _BLOCK]
            yield _lay_out_packed(packed, rows, config.sequence_length, special_ids)


def _masked(
    layout: _Layout,
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    words: np.ndarray,
    buckets: np.ndarray,
    rng: np.random.Generator,
) -> Examples:
    whole = config.whole_word_mask or config.max_ngram > 1
    masked = mask_words(
        layout.token_ids,
        layout.maskable,
        layout.lengths,
        share=config.mask_prob,
        max_predictions_per_seq=config.max_predictions_per_seq,
        mask_id=special_ids["mask"],
        words=words,
        rng=rng,
        begins=layout.begins if whole else None,
        max_ngram=config.max_ngram,
    )
    real = np.arange(config.sequence_length) < layout.lengths[:, None]
    sources = np.array(corpus.sources, object)[layout.document]
    columns = {
        "token_ids": masked.token_ids,
        "segment_ids": layout.second.astype(np.int64),
        "padding_mask": real.astype(np.int64),
        "mask_positions": masked.positions,
        "mask_ids": masked.labels,
        "mask_weights": masked.weights,
        "source": sources[:, None],
        "length": buckets[layout.lengths][:, None],
    }
    if layout.follows is not None:
        columns["next_sentence_label"] = 1 - layout.follows[:, None]
    return columns


def _lay_out_pairs(
    corpus: Corpus, pairs: Pairs, time: int, special_ids: Mapping[str, int]
) -> _Layout:
    """`[CLS] A [SEP] B [SEP]` and padding."""
    column = np.arange(time)
    rows = np.arange(len(pairs))
    a_end = pairs.a_length + 1  # where [SEP] stands
    b_end = a_end + 1 + pairs.b_length
    second = column > a_end[:, None]
    begins = np.where(second, (pairs.b_start - a_end - 1)[:, None], (pairs.a_start - 1)[:, None])
    index = begins + column
    maskable = column < b_end[:, None]
    maskable[:, 0] = False
    maskable[rows, a_end] = False
    # Where nothing of the corpus stands an index means nothing, and may be out of bounds.
    token_ids = corpus.tokens.take(index, mode="clip").astype(np.int64)
    token_ids[~maskable] = special_ids["padding"]
    token_ids[:, 0] = special_ids["start"]
    token_ids[rows, a_end] = special_ids["end"]
    token_ids[rows, b_end] = special_ids["end"]
    return _Layout(
        token_ids=token_ids,
        begins=corpus.begins.take(index, mode="clip"),
        maskable=maskable,
        second=second & (column <= b_end[:, None]),
        lengths=pairs.a_length + pairs.b_length + SPECIAL_TOKENS,
        document=pairs.document,
        follows=pairs.follows,
    )


def _lay_out_packed(
    packed: Packed, rows: np.ndarray, time: int, special_ids: Mapping[str, int]
) -> _Layout:
    """`[CLS] sentences [SEP]` and padding."""
    column = np.arange(time)
    start, length = packed.start[rows], packed.length[rows]
    inside = (column >= 1) & (column <= length[:, None])
    index = np.where(inside, start[:, None] + (column - 1), 0)
    token_ids = np.where(inside, packed.tokens[index].astype(np.int64), special_ids["padding"])
    token_ids[:, 0] = special_ids["start"]
    token_ids[np.arange(len(rows)), length + 1] = special_ids["end"]
    return _Layout(
        token_ids=token_ids,
        begins=packed.begins[index],
        maskable=inside & (token_ids != special_ids["end"]),
        second=np.zeros_like(inside),
        lengths=length + 2,
        document=packed.document[rows],
        follows=None,
    )

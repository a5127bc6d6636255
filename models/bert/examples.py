"""BERT's training examples: sentence pairs or packed sentences, framed and masked."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.bert.config import BertObjectiveConfig
from models.bert.inputs import PAIR_SPECIAL_TOKENS, SINGLE_SPECIAL_TOKENS, frame
from models.bert.masking import mask_words
from models.bert.packing import Packed, pack
from models.bert.pairs import Corpus, Pairs, make_pairs, truncate_pairs
from models.examples import length_buckets
from models.framing import Framed
from models.objective import (
    Example,
    Examples,
    Feature,
    FeatureSpec,
    Labels,
    RenderedToken,
    TokenizedDocument,
)
from models.tokenizers.wordpiece import CONTINUATION

_BLOCK = 4_096  # examples made at a time, which bounds the memory
_NEXT_SENTENCE = Labels(
    ("B follows A", "B does not follow A"),
    "give documents of several sentences each (in .txt files a blank line ends a document), or"
    " train without pairs: model.objective.second_segment=none",
)


def feature_spec(config: BertObjectiveConfig) -> FeatureSpec:
    """The schema of an example; `next_sentence_label` is 0 if B follows A."""
    per_mask = functools.partial(Feature, (config.max_predictions_per_seq,), axis="masks")
    per_position = functools.partial(Feature, (config.sequence_length,), "int64", axis="time")
    spec = {
        "token_ids": per_position("[CLS] A [SEP] B [SEP], padded"),
        "segment_ids": per_position("0 up to the first [SEP], 1 for B, 0 for padding"),
        "padding_mask": per_position("1 for a real token"),
        "mask_positions": per_mask("int64", "positions to predict, ascending, padded by 0"),
        "mask_ids": per_mask("int64", "the ids to predict there"),
        "mask_weights": per_mask("float32", "1 for a position to predict, 0 for padding"),
        "next_sentence_label": Feature(
            (1,), "int64", "0 if B follows A, else 1", labels=_NEXT_SENTENCE
        ),
        "source": Feature((1,), "string", "source of A's document"),
        "length": Feature((1,), "string", "bucket of the number of real tokens, as 065-128"),
    }
    if config.second_segment == "none":
        del spec["next_sentence_label"]
        spec["token_ids"] = per_position("[CLS] and sentences, [SEP] where a text ends")
        spec["segment_ids"] = per_position("0")
        spec["source"] = Feature((1,), "string", "source of the first document")
    return spec


def render_example(
    example: Example, vocabulary: Sequence[str], special_ids: Mapping[str, int]
) -> list[RenderedToken]:
    """The real tokens of an example as text, with labels at the masked positions."""
    labels = {
        int(position): vocabulary[label].removeprefix(CONTINUATION)
        for position, label, weight in zip(
            example["mask_positions"], example["mask_ids"], example["mask_weights"], strict=True
        )
        if weight > 0
    }
    special = {special_ids[role] for role in ("start", "end")}
    rendered = []
    for position in range(int(example["padding_mask"].sum())):
        token, segment = int(example["token_ids"][position]), int(example["segment_ids"][position])
        entry = vocabulary[token]
        continues_word = entry.startswith(CONTINUATION)
        rendered.append(
            RenderedToken(
                text=entry.removeprefix(CONTINUATION) if continues_word else f" {entry}",
                label=labels.get(position),
                part="special" if token in special else ("first", "second")[segment],
            )
        )
    return rendered


@dataclasses.dataclass(frozen=True)
class _Unmasked:
    """Examples before masking.

    Attributes:
        features: the encoder's inputs, int32 `[examples, time]` each.
        maskable: bool `[examples, time]`, real tokens that are not special.
        begins: bool `[examples, time]`, tokens that begin a word; None if tokens are masked one by
            one.
        document: int64 `[examples]`, index of A's document in the corpus.
        follows: int64 `[examples]`, 1 if B follows A; None if there is no B.
    """

    features: Mapping[str, np.ndarray]
    maskable: np.ndarray
    begins: np.ndarray | None
    document: np.ndarray
    follows: np.ndarray | None


def make_examples(
    documents: Sequence[TokenizedDocument],
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    continues_word: np.ndarray,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Examples of one group, shuffled; a pure function of its arguments.

    Packed sentences are shuffled within each of the passes that `dupe_factor` counts.

    Args:
        documents: the group.
        config: lengths, probabilities and the kind of masking.
        special_ids: by role.
        continues_word: bool `[vocabulary]`, entries that continue the word of the token before.
        rng: the only source of randomness.
        tally: receives the counts `documents_without_text`, `truncated_tokens`,
            `pairs_without_partner` and `chunks_without_partner`; for packed sentences `cut_pieces`.
    """
    tally["documents_without_text"] += sum(not len(document.lengths) for document in documents)
    if not config.whole_word_mask:
        continues_word = np.zeros_like(continues_word)
    corpus = Corpus.of(documents, continues_word)
    words = np.setdiff1d(np.arange(len(continues_word)), list(special_ids.values()))
    buckets = length_buckets(config.sequence_length)
    make = _packed if config.second_segment == "none" else _paired
    for unmasked in make(corpus, config, special_ids, rng, tally):
        yield _masked(unmasked, corpus, config, special_ids, words, buckets, rng)


def _paired(
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[_Unmasked]:
    max_tokens = config.sequence_length - PAIR_SPECIAL_TOKENS
    pairs = make_pairs(
        corpus,
        max_tokens=max_tokens,
        short_seq_prob=config.short_seq_prob,
        passes=config.dupe_factor,
        rng=rng,
        tally=tally,
        sentence_order=config.second_segment == "sentence_order",
    )
    pairs = truncate_pairs(pairs.take(rng.permutation(len(pairs))), max_tokens, rng, tally)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs.take(np.arange(begin, min(begin + _BLOCK, len(pairs))))
        yield _frame_pairs(corpus, block, config, special_ids)


def _packed(
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[_Unmasked]:
    for _ in range(config.dupe_factor):
        packed = pack(
            corpus,
            max_tokens=config.sequence_length - SINGLE_SPECIAL_TOKENS,
            short_seq_prob=config.short_seq_prob,
            separator=special_ids["end"],
            rng=rng,
            tally=tally,
        )
        order = rng.permutation(len(packed))
        for begin in range(0, len(packed), _BLOCK):
            yield _frame_packed(packed, order[begin : begin + _BLOCK], config, special_ids)


def _frame_pairs(
    corpus: Corpus, pairs: Pairs, config: BertObjectiveConfig, special_ids: Mapping[str, int]
) -> _Unmasked:
    a = _spans(pairs.a_start, pairs.a_length)
    b = _spans(pairs.b_start, pairs.b_length)
    framed = frame(
        _taken(corpus.tokens, a),
        _taken(corpus.tokens, b),
        special_ids=special_ids,
        time=config.sequence_length,
    )
    begins = None
    if _masks_words(config):
        begins = framed.place(_taken(corpus.begins, a), _taken(corpus.begins, b), False).numpy()
    maskable = framed.token_index.numpy() >= 0
    return _Unmasked(_arrays(framed), maskable, begins, pairs.document, pairs.follows)


def _frame_packed(
    packed: Packed, rows: np.ndarray, config: BertObjectiveConfig, special_ids: Mapping[str, int]
) -> _Unmasked:
    span = _spans(packed.start[rows], packed.length[rows])
    framed = frame(
        _taken(packed.tokens, span), special_ids=special_ids, time=config.sequence_length
    )
    begins = None
    if _masks_words(config):
        begins = framed.place(_taken(packed.begins, span), default=False).numpy()
    features = _arrays(framed)
    separator = features["token_ids"] == special_ids["end"]
    maskable = (framed.token_index.numpy() >= 0) & ~separator
    return _Unmasked(features, maskable, begins, packed.document[rows], None)


def _masks_words(config: BertObjectiveConfig) -> bool:
    """Whether masking has to know where words begin."""
    return config.whole_word_mask or config.max_ngram > 1


def _spans(start: np.ndarray, length: np.ndarray) -> tf.RaggedTensor:
    """The indices inside of spans, int64 `[spans, (length)]`."""
    return tf.ragged.range(start, start + length)


def _taken(values: np.ndarray, index: tf.RaggedTensor) -> tf.RaggedTensor:
    """The values at indices, in the shape of the indices."""
    return index.with_flat_values(values[index.flat_values.numpy()])


def _arrays(framed: Framed) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in framed.features.items()}


def _masked(
    unmasked: _Unmasked,
    corpus: Corpus,
    config: BertObjectiveConfig,
    special_ids: Mapping[str, int],
    words: np.ndarray,
    buckets: np.ndarray,
    rng: np.random.Generator,
) -> Examples:
    lengths = unmasked.features["padding_mask"].sum(axis=1)
    masked = mask_words(
        unmasked.features["token_ids"],
        unmasked.maskable,
        lengths,
        mask_prob=config.mask_prob,
        max_predictions_per_seq=config.max_predictions_per_seq,
        mask_id=special_ids["mask"],
        words=words,
        rng=rng,
        begins=unmasked.begins,
        max_ngram=config.max_ngram,
    )
    sources = np.array(corpus.sources, object)[unmasked.document]
    columns = {
        **unmasked.features,
        "token_ids": masked.token_ids,
        "mask_positions": masked.positions,
        "mask_ids": masked.labels,
        "mask_weights": masked.weights,
        "source": sources[:, None],
        "length": buckets[lengths][:, None],
    }
    if unmasked.follows is not None:
        columns["next_sentence_label"] = 1 - unmasked.follows[:, None]
    return columns

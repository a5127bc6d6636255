"""WordPiece as in BERT (Devlin et al., 2019), by tensorflow-text's linear-time tokenizer.

See Song et al., 2021, "Fast WordPiece Tokenization". `words.WordSplitter` has the rules of word
splitting. A word is split greedily into the longest entries. A word that cannot be split, or that
is too long, becomes [UNK].
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.config import WordPieceConfig
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.vocabulary import CONTINUATION as CONTINUATION
from models.tokenizers.vocabulary import (
    SPECIAL_TOKENS,
    import_entries,
    learn_entries,
    matches_nothing,
    read_vocabulary,
)
from models.tokenizers.words import Normalizer, WordSplitter

VOCABULARY_FILE = "vocab.txt"

_TEXTS = tf.TensorSpec([None], tf.string, "texts")


class WordPieceTokenizer(Tokenizer):
    """Text → WordPiece ids in graph.

    Any bytes are accepted: invalid UTF-8 and control characters, including NUL, become unknown
    tokens or none. A `tf.Module` that holds this object can be saved and served.

    Args:
        vocabulary: entries in the order of their ids, distinct, with all of `SPECIAL_TOKENS`.
        config: normalization and limits; `vocabulary_size` is ignored.
    """

    config_class = WordPieceConfig

    def __init__(self, vocabulary: Sequence[str], config: WordPieceConfig) -> None:
        super().__init__()
        self.config = config
        self._joined = "\n".join(vocabulary)  # as one string: tf.Module would wrap a list
        self._entries = tf.constant(list(vocabulary), tf.string)
        self._normalizer = Normalizer(config.lowercase)
        self._pieces = tf_text.FastWordpieceTokenizer(
            # A placeholder keeps the ids of later entries. Its space keeps it from matching text.
            vocab=[f"[{i} ]" if matches_nothing(e) else e for i, e in enumerate(vocabulary)],
            suffix_indicator=CONTINUATION,
            max_bytes_per_word=config.max_word_bytes,
            unknown_token=SPECIAL_TOKENS["unknown"],
            token_out_type=tf.int32,
            support_detokenization=True,
        )

    @functools.cached_property
    def vocabulary(self) -> Sequence[str]:  # type: ignore[override]  # cached, still read-only
        """The entries in the order of their ids."""
        return self._joined.split("\n")

    @functools.cached_property
    def special_ids(self) -> Mapping[str, int]:  # type: ignore[override]
        """Ids by role: `padding`, `unknown`, `start`, `end`, `mask`."""
        return {role: self.vocabulary.index(token) for role, token in SPECIAL_TOKENS.items()}

    @classmethod
    def learn(cls, word_counts: Mapping[str, int], config: WordPieceConfig) -> WordPieceTokenizer:
        """See `models.tokenizers.vocabulary.learn_entries`."""
        return cls(learn_entries(word_counts, config), config)

    @classmethod
    def import_vocabulary(cls, path: pathlib.Path, config: WordPieceConfig) -> WordPieceTokenizer:
        """See `models.tokenizers.vocabulary.import_entries`."""
        return cls(import_entries(path, config), config)

    @classmethod
    def word_splitter(cls, config: WordPieceConfig) -> WordSplitter:
        """The word splitter of the tokenizers with this configuration."""
        return WordSplitter(config)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `Tokenizer.tokenize`."""
        return self._pieces.tokenize(self._normalizer.normalize(texts))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """See `Tokenizer.tokenize_with_offsets`.

        Offsets refer to the original text, before normalization. An accent belongs to the token of
        its letter. If one character became several, all of them have its offsets.
        """
        normalized, source = self._normalizer.normalize_with_offsets(texts)
        ids, starts, limits = self._pieces.tokenize_with_offsets(normalized)
        return ids, *source.spans(starts, limits)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize_masked(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Like `tokenize`, but "[MASK]" in a text becomes the mask's id.

        Args:
            texts: string `[batch]`, UTF-8.

        Returns:
            int32 `[batch, (tokens)]`.
        """
        parts = tf.strings.split(texts, SPECIAL_TOKENS["mask"])
        ids = self.tokenize(parts.flat_values)
        masks = tf.fill([ids.nrows(), 1], self.special_ids["mask"])
        # Puts a mask before every part, then removes the first mask of each text.
        return parts.with_flat_values(tf.concat([masks, ids], axis=1)).merge_dims(1, 2)[:, 1:]

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Tokenizer.tokens`."""
        return tf.gather(self._entries, ids)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Words joined by single spaces, because normalization loses the original spacing."""
        return self._pieces.detokenize(ids)

    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """Writes `vocab.txt`, one entry per line."""
        (folder / VOCABULARY_FILE).write_bytes((self._joined + "\n").encode())

    @classmethod
    def _read(cls, folder: pathlib.Path, config: WordPieceConfig) -> WordPieceTokenizer:
        return cls(read_vocabulary(folder / VOCABULARY_FILE), config)

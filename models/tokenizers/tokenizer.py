"""The interface of all tokenizers: one TensorFlow graph function (law "One tokenizer path")."""

from __future__ import annotations

import abc
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from models.errors import ConfigError
from models.settings import from_json

CONFIG_FILE = "tokenizer.json"

_Self = TypeVar("_Self", bound="Tokenizer")


class WordSplitter(Protocol):
    """Splits texts into the words that a vocabulary is learned from, as the tokenizer does."""

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The normalized words of texts: string `[batch]` → string `[batch, (words)]`."""

    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The distinct words of texts `[batch]`, and their counts: string and int64 `[words]`."""


class Tokenizer(tf.Module, abc.ABC):
    """Text → ids in graph. Beam, training and the SavedModel use the same object.

    A token is an integer. For a character tokenizer it is a row of integers instead, so its ids
    have one more dimension, of a fixed size, at the end.

    A tokenizer is restored only from the files that `save` wrote. `tokenize` never returns special
    tokens: text that spells a special token is tokenized as text.

    Attributes:
        config_class: the dataclass that configures it.
        reads_unknown: whether a model can read a token that is not in the vocabulary, although it
            cannot predict it.
        config: an instance of `config_class`.
    """

    config_class: ClassVar[type]
    reads_unknown: ClassVar[bool] = False
    config: Any

    @property
    @abc.abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """The entries of the vocabulary in the order of their ids."""

    @property
    @abc.abstractmethod
    def special_ids(self) -> Mapping[str, int]:
        """Ids of the special tokens by role, such as `padding`; roles that it lacks are absent."""

    @abc.abstractmethod
    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, without special tokens.

        Args:
            texts: string `[batch]`, UTF-8.

        Returns:
            int32 `[batch, (tokens)]`.
        """

    @abc.abstractmethod
    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """The ids that `tokenize` returns, and the bytes of the text that each token covers.

        Returns:
            Three `[batch, (tokens)]`: ids int32; starts int64, the first byte of each token; limits
            int64, the byte after its last.
        """

    def tokenize_masked(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Like `tokenize`, but a mask token that is written in a text becomes the mask's id.

        Tokenizers without a mask token return the same as `tokenize`.

        Returns:
            int32 `[batch, (tokens)]`.
        """
        return self.tokenize(texts)

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which tokens are not in the vocabulary, bool `[tokens]`.

        Args:
            ids: integers `[tokens]` from `tokenize`.
        """
        if "unknown" not in self.special_ids:
            return np.zeros(len(ids), np.bool_)
        return np.asarray(ids == self.special_ids["unknown"])

    @classmethod
    @abc.abstractmethod
    def learn(cls, word_counts: Mapping[str, int], config: Any) -> Tokenizer:
        """A tokenizer whose vocabulary is learned from word counts.

        The same counts give the same vocabulary in any process.

        Args:
            word_counts: occurrences of words, as `WordSplitter.words` gives them.
            config: settings, with the number of entries to learn; a small text gives fewer.

        Raises:
            DataRefused: there is no word to learn from.
        """

    @classmethod
    @abc.abstractmethod
    def import_vocabulary(cls, path: pathlib.Path, config: Any) -> Tokenizer:
        """A tokenizer with the vocabulary of published files.

        Args:
            path: the file or folder.
            config: settings.

        Raises:
            ConfigError: a file is missing or cannot be used; names file and line.
        """

    @classmethod
    @abc.abstractmethod
    def word_splitter(cls, config: Any) -> WordSplitter:
        """The word splitter of the tokenizers with this configuration."""

    @abc.abstractmethod
    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """The vocabulary entries of ids, string, in the shape of `ids` (dense or ragged)."""

    @abc.abstractmethod
    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Readable texts of ids `[batch, (tokens)]`, string `[batch]`."""

    def save(self, folder: pathlib.Path) -> None:
        """Writes the files of the vocabulary and `tokenizer.json`."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._write_vocabulary(folder)
        config = json.dumps(dataclasses.asdict(self.config), indent=2) + "\n"
        (folder / CONFIG_FILE).write_text(config, encoding="utf-8")

    @classmethod
    def load(cls: type[_Self], folder: pathlib.Path) -> _Self:
        """Restores a tokenizer from the files that `save` wrote.

        Raises:
            ConfigError: a file is missing or cannot be used; names the file and the line.
        """
        path = pathlib.Path(folder) / CONFIG_FILE
        try:
            config: Any = from_json(cls.config_class, path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"the configuration of a tokenizer cannot be read: {error.strerror}",
                where=str(path),
                remedy="give a folder that Tokenizer.save wrote",
            ) from error
        return cls._read(path.parent, config)

    @abc.abstractmethod
    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """Writes the files of the vocabulary."""

    @classmethod
    @abc.abstractmethod
    def _read(cls: type[_Self], folder: pathlib.Path, config: Any) -> _Self:
        """Restores a tokenizer from the files that `_write_vocabulary` wrote."""

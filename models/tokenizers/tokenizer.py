"""The interface of every tokenizer: text to ids in one TensorFlow graph function (law 4)."""

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

_Kind = TypeVar("_Kind", bound="Tokenizer")


class WordSplitter(Protocol):
    """Cuts texts into the words that a vocabulary is learned from, as the tokenizer cuts them."""

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Normalized words of texts: string `[batch]` → string `[batch, (words)]`."""

    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct words of texts `[batch]`: string `[words]`, and their counts int64 `[words]`."""


class Tokenizer(tf.Module, abc.ABC):
    """Text → ids in graph; the same object serves Beam, training input and the SavedModel.

    A token is an integer; a tokenizer of characters gives a row of integers for each instead, so
    that its ids have one more dimension, of a fixed size, at the end.

    A tokenizer is rebuilt from the files that `save` wrote and nothing else. Special tokens never
    come out of `tokenize`: text that spells one is text.

    Attributes:
        config_class: the dataclass that configures it.
        reads_unknown: whether a model reads a token that the vocabulary does not have all the same,
            and only cannot predict it.
        config: one of these.
    """

    config_class: ClassVar[type]
    reads_unknown: ClassVar[bool] = False
    config: Any

    @property
    @abc.abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """The entries in the order of their ids."""

    @property
    @abc.abstractmethod
    def special_ids(self) -> Mapping[str, int]:
        """Ids of the special tokens by role, as `padding` and `unknown`: those that there are."""

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
        """Ids as `tokenize`, with each token's first byte and the byte after its last in the text.

        Returns:
            Three `[batch, (tokens)]`: ids int32, starts int64, limits int64.
        """

    def tokenize_masked(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """As `tokenize`, but where a text spells the mask's token, there is the mask's id.

        A tokenizer without a mask has nothing to add to `tokenize`.

        Returns:
            int32 `[batch, (tokens)]`.
        """
        return self.tokenize(texts)

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which tokens the vocabulary does not have, bool `[tokens]`.

        Args:
            ids: integers `[tokens]`, as `tokenize` gives them.
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
        """Cuts texts into words as every tokenizer of this configuration does."""

    @abc.abstractmethod
    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """The vocabulary entries of ids, string, in the shape of `ids` (dense or ragged)."""

    @abc.abstractmethod
    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Readable text of ids `[batch, (tokens)]`, string `[batch]`."""

    def save(self, folder: pathlib.Path) -> None:
        """Writes the vocabulary's files and `tokenizer.json`."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._write_vocabulary(folder)
        config = json.dumps(dataclasses.asdict(self.config), indent=2) + "\n"
        (folder / CONFIG_FILE).write_text(config, encoding="utf-8")

    @classmethod
    def load(cls: type[_Kind], folder: pathlib.Path) -> _Kind:
        """The tokenizer that `save` wrote.

        Raises:
            ConfigError: a file is missing or cannot be used; names file and line.
        """
        path = pathlib.Path(folder) / CONFIG_FILE
        try:
            config: Any = from_json(cls.config_class, path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"a tokenizer's configuration cannot be read: {error.strerror}",
                where=str(path),
                remedy="give a folder that Tokenizer.save wrote",
            ) from error
        return cls._read(path.parent, config)

    @abc.abstractmethod
    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """Writes the files of the vocabulary."""

    @classmethod
    @abc.abstractmethod
    def _read(cls: type[_Kind], folder: pathlib.Path, config: Any) -> _Kind:
        """The tokenizer of a configuration and the vocabulary that `_write_vocabulary` wrote."""

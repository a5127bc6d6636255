"""VocabularyTrainer: makes a tokenizer from the base model, a vocabulary file or the documents.

It uses the first of these that exists: the tokenizer of the model that training starts from, since
that model's weights are tied to its ids; a vocabulary file; the words of the training documents.
Beam counts these words, in batches of documents, which the tokenizer splits into words. Held-out
documents are not read.
"""

import collections
import dataclasses
import functools
import json
import logging
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifacts import Vocabulary
from components.config import VocabularyConfig
from components.documents import ReadDocuments
from components.layout import MODEL_TOKENIZER_FOLDER, SAVED_MODEL_FOLDER, TRAIN, WORDS_FILE
from components.lineage.properties import set_content
from components.storage.publish import write_whole
from models.errors import ConfigError
from models.family import Family
from models.registry import FAMILIES
from models.settings import from_json
from models.tokenizers.tokenizer import Tokenizer

_COUNTS_FILE = "counts.json"  # Beam's result, removed once the vocabulary is learned
_BATCH_CHARACTERS = 1_000_000  # of texts that are split into words in one call
_MAX_COUNTED_WORDS = 1_000_000  # distinct words in a worker's memory
_MIN_LEARNED_SHARE = 0.6  # of the occurrences of words; below it, a warning is logged
_log = logging.getLogger("polyseme.vocabulary_trainer")


@component(use_beam=True)
def VocabularyTrainer(
    examples: InputArtifact[standard_artifacts.Examples],
    vocabulary: OutputArtifact[Vocabulary],
    family: Parameter[str],
    tokenizer: Parameter[str],
    config: Parameter[str],
    file_fingerprint: Parameter[str],
    unkeyed: Parameter[str],
    base_model: InputArtifact[standard_artifacts.Model] = None,
    older: InputArtifact[list[standard_artifacts.Examples]] = None,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Makes the tokenizer of a family.

    Args:
        examples: TextCleaner's documents.
        vocabulary: receives the tokenizer's files and `words.json`.
        family: a name in the registry.
        tokenizer: the tokenizer's configuration as JSON.
        config: a `VocabularyConfig` as JSON.
        file_fingerprint: SHA-256 of the vocabulary file, so that a changed file is not a cache hit.
        unkeyed: JSON of the settings that are not part of the cache key: the path of the vocabulary
            file.
        base_model: the model that training starts from, whose tokenizer is used; absent if training
            starts from scratch.
        older: documents of older spans that are trained on again.
        beam_pipeline: provided by TFX.

    Raises:
        ConfigError: the file or the configuration cannot be used, or differs from the base model's.
        DataRefused: there is no word to learn from.
    """
    row = FAMILIES[family]
    requested: Any = from_json(row.tokenizer.config_class, tokenizer)
    settings = from_json(VocabularyConfig, json.dumps(json.loads(config) | json.loads(unkeyed)))
    folder = pathlib.Path(vocabulary.uri)
    if base_model:
        result = _of_base_model(row, base_model.uri, requested, settings)
        words: dict[str, Any] = {"origin": "base model"}
        source = base_model.uri
    elif settings.file:
        result = row.tokenizer.import_vocabulary(pathlib.Path(settings.file), requested)
        words = {"origin": "file", "sha256": file_fingerprint}
        source = settings.file
    else:
        with beam_pipeline as pipeline:
            documents = [examples.uri, *(artifact.uri for artifact in older or ())]
            count_words(pipeline, documents, str(folder), row.name, tokenizer, settings)
        file = folder / _COUNTS_FILE
        totals = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        result = row.tokenizer.learn(totals.pop("counts"), requested)
        words = {"origin": "learned", **totals}
        source = ""
    result.save(folder)
    (folder / WORDS_FILE).write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
    vocabulary.size = len(result.vocabulary)
    set_content(vocabulary, _tokenizer_files(folder))
    _log_origin(vocabulary.size, words, source, settings.min_count)


def count_words(
    pipeline: beam.Pipeline,
    documents: Sequence[str],
    folder: str,
    family: str,
    tokenizer: str,
    config: VocabularyConfig,
) -> None:
    """Adds transforms to a Beam pipeline that count the words of the training documents.

    Args:
        pipeline: the pipeline.
        documents: folders of documents; their split "train" is counted.
        folder: receives `counts.json`: the words to learn from with their counts, most frequent
            first, and totals of all words.
        family: a name in the registry.
        tokenizer: the tokenizer's configuration as JSON, which decides what a word is.
        config: which words to learn from.
    """
    counts = (
        [
            pipeline | f"Read{number}" >> ReadDocuments(documents_folder, TRAIN)
            for number, documents_folder in enumerate(documents)
        ]
        | "AllFolders" >> beam.Flatten()
        | "CountWords" >> beam.ParDo(_CountWords(family, tokenizer))
        | "Add" >> beam.CombinePerKey(sum)
    )
    totals = (
        counts
        | "One" >> beam.MapTuple(lambda word, count: (1, count))
        | "Total" >> beam.CombineGlobally(_add_pairs)
    )
    _ = (
        counts
        | "Frequent" >> beam.Filter(lambda pair: pair[1] >= config.min_count)
        # Words are distinct, so this order does not depend on the runner.
        | "Most" >> beam.combiners.Top.Of(config.max_words, key=lambda pair: (pair[1], pair[0]))
        | "Write" >> beam.Map(_write, beam.pvalue.AsSingleton(totals), folder)
    )


class _CountWords(beam.DoFn):
    """Yields (word, count); splits texts into words in batches, and adds up counts before that."""

    def __init__(self, family: str, tokenizer: str) -> None:
        self._family = family
        self._tokenizer = tokenizer

    def start_bundle(self) -> None:
        self._texts: list[str] = []
        self._size = 0
        self._counts: collections.Counter[bytes] = collections.Counter()

    def process(self, document: Any) -> Iterator[Any]:
        self._texts.append(document.text)
        self._size += len(document.text)
        if self._size >= _BATCH_CHARACTERS:
            self._count_batch()
        if len(self._counts) >= _MAX_COUNTED_WORDS:
            yield from self._take_counts()

    def finish_bundle(self) -> Iterator[Any]:
        self._count_batch()
        for pair in self._take_counts():
            yield beam.utils.windowed_value.WindowedValue(pair, MIN_TIMESTAMP, [GlobalWindow()])

    def _take_counts(self) -> Iterator[tuple[str, int]]:
        counts, self._counts = self._counts, collections.Counter()
        for word, count in counts.items():
            yield word.decode(), count

    def _count_batch(self) -> None:
        if self._texts:
            splitter = _splitter(self._family, self._tokenizer)
            words, counts = splitter.count(tf.constant(self._texts, tf.string))
            self._counts.update(
                dict(zip(words.numpy().tolist(), counts.numpy().tolist(), strict=True))
            )
        self._texts, self._size = [], 0


@functools.lru_cache(maxsize=1)
def _splitter(family: str, tokenizer: str) -> Any:
    """The tokenizer's word splitter, made once in a worker process."""
    kind = FAMILIES[family].tokenizer
    return kind.word_splitter(from_json(kind.config_class, tokenizer))


def _add_pairs(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    words = occurrences = 0
    for more_words, more_occurrences in pairs:
        words, occurrences = words + more_words, occurrences + more_occurrences
    return words, occurrences


def _write(counts: Sequence[tuple[str, int]], totals: tuple[int, int], folder: str) -> None:
    content = {
        "words": totals[0],
        "occurrences": totals[1],
        "learned_words": len(counts),
        "learned_occurrences": sum(count for _, count in counts),
        "counts": dict(counts),
    }
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, _COUNTS_FILE)
    write_whole(path, [json.dumps(content, ensure_ascii=False)])


def _tokenizer_files(folder: pathlib.Path) -> list[str]:
    """The files without `words.json`, so that the cache key does not depend on the origin."""
    return sorted(path.name for path in folder.iterdir() if path.name != WORDS_FILE)


def _of_base_model(
    row: Family, base_model: str, requested: Any, settings: VocabularyConfig
) -> Tokenizer:
    """The base model's tokenizer.

    Raises:
        ConfigError: the requested configuration or vocabulary file differs from it.
    """
    tokenizer = row.tokenizer.load(
        pathlib.Path(base_model, SAVED_MODEL_FOLDER, MODEL_TOKENIZER_FOLDER)
    )
    remedy = "Keep the blessed model's settings, or start from scratch under another --name."
    for field in dataclasses.fields(requested):
        of_model = getattr(tokenizer.config, field.name)
        value = getattr(requested, field.name)
        if of_model != value:
            raise ConfigError(
                f"{field.name} is {value}; the model that training starts from has {of_model}, and"
                " its weights are tied to its ids.",
                where=f"model.tokenizer.{field.name}",
                remedy=remedy,
            )
    if settings.file:
        from_file = row.tokenizer.import_vocabulary(pathlib.Path(settings.file), requested)
        if list(from_file.vocabulary) != list(tokenizer.vocabulary):
            raise ConfigError(
                "The vocabulary file differs from the vocabulary of the model that training starts"
                " from.",
                where=f"vocabulary.file: {settings.file}",
                remedy=remedy,
            )
    return tokenizer


def _log_origin(size: int, words: dict[str, Any], source: str, min_count: int) -> None:
    """Logs where the vocabulary comes from; warns if it is learned from a small part of the text.

    Args:
        size: number of entries.
        words: the content of `words.json`.
        source: path of the base model or the file.
        min_count: `vocabulary.min_count`.
    """
    if words["origin"] != "learned":
        _log.info("%d entries, taken from the %s %s", size, words["origin"], source)
        return
    _log.info(
        "%d entries, learned from %s of %s words that occur %s times",
        size,
        f"{words['learned_words']:,}",
        f"{words['words']:,}",
        f"{words['occurrences']:,}",
    )
    if words["learned_occurrences"] < _MIN_LEARNED_SHARE * words["occurrences"]:
        _log.warning(
            "the vocabulary is learned from %.0f%% of the text: the other words occur fewer than"
            " vocabulary.min_count=%d times. Set it to 1 if words are long, as the clauses of"
            " Chinese are for byte-level BPE",
            100 * words["learned_occurrences"] / words["occurrences"],
            min_count,
        )

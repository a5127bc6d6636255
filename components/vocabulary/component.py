"""VocabularyTrainer: the words of a span's documents in, a tokenizer out.

Three sources, in this order: the model that training will start from, whose ids its weights are
tied to; a vocabulary file; the training documents, whose words Beam counts as the tokenizer cuts
them, in batches across documents. The other splits are not looked at.
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
from models.objective import Family
from models.registry import FAMILIES
from models.settings import from_json
from models.tokenizers.tokenizer import Tokenizer

_COUNTS_FILE = "counts.json"  # Beam's result, removed once the vocabulary is learned
_BATCH_CHARACTERS = 1_000_000  # texts cut into words in one call
_MOST_WORDS = 1_000_000  # different ones counted before they are handed on
_LEAST_LEARNED = 0.6  # of the occurrences of words
_LOG = logging.getLogger("polyseme.vocabulary_trainer")


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
    """Gives a family its tokenizer.

    Args:
        examples: documents, as TextCleaner wrote them.
        vocabulary: receives the tokenizer's files and `words.json`.
        family: a name of the registry.
        tokenizer: the tokenizer's configuration as JSON.
        config: a `VocabularyConfig` as JSON.
        file_fingerprint: SHA-256 of the given file, so that a changed one is no cache hit.
        unkeyed: JSON of the settings that no key holds: the path of the given file.
        base_model: where training starts, if anywhere: its tokenizer is taken as it is.
        older: documents of older spans that are trained on too.
        beam_pipeline: given by TFX.

    Raises:
        ConfigError: the file or the configuration cannot be used, or is not the base model's.
        DataRefused: there is no word to learn from.
    """
    row = FAMILIES[family]
    wanted: Any = from_json(row.tokenizer.config_class, tokenizer)
    settings = from_json(VocabularyConfig, json.dumps(json.loads(config) | json.loads(unkeyed)))
    folder = pathlib.Path(vocabulary.uri)
    if base_model:
        made = _of_base_model(row, base_model.uri, wanted, settings)
        words: dict[str, Any] = {"origin": "base model"}
        source = base_model.uri
    elif settings.file:
        made = row.import_vocabulary(pathlib.Path(settings.file), wanted)
        words = {"origin": "file", "sha256": file_fingerprint}
        source = settings.file
    else:
        with beam_pipeline as pipeline:
            documents = [examples.uri, *(each.uri for each in older or ())]
            count(pipeline, documents, str(folder), row.name, tokenizer, settings)
        file = folder / _COUNTS_FILE
        counted = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        made = row.learn(counted.pop("counts"), wanted)
        words = {"origin": "learned", **counted}
        source = ""
    made.save(folder)
    (folder / WORDS_FILE).write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
    vocabulary.size = len(made.vocabulary)
    set_content(vocabulary, _files(folder))
    _LOG.info("%d entries, %s", vocabulary.size, _origin(words, source))
    if words.get("learned_occurrences", 0) < _LEAST_LEARNED * words.get("occurrences", 0):
        _LOG.warning(
            "the vocabulary is learned from %.0f%% of the text: its other words occur fewer than"
            " vocabulary.min_count=%d times. Set it to 1 where words are long, as the clauses of"
            " Chinese are for byte-level BPE",
            100 * words["learned_occurrences"] / words["occurrences"],
            settings.min_count,
        )


def count(
    pipeline: beam.Pipeline,
    documents: Sequence[str],
    folder: str,
    family: str,
    tokenizer: str,
    config: VocabularyConfig,
) -> None:
    """Adds to a Beam pipeline what counts the words of the training documents.

    Args:
        pipeline: the pipeline.
        documents: the folders of documents, whose split "train" is counted.
        folder: receives `counts.json`: the words to learn from, most frequent first, and figures.
        family: a name of the registry.
        tokenizer: the tokenizer's configuration as JSON: it decides what a word is.
        config: which words are learned from.
    """
    counts = (
        [
            pipeline | f"Read{place}" >> ReadDocuments(folder_of_one, TRAIN)
            for place, folder_of_one in enumerate(documents)
        ]
        | "AllFolders" >> beam.Flatten()
        | "Cut" >> beam.ParDo(_CountWords(family, tokenizer))
        | "Add" >> beam.CombinePerKey(sum)
    )
    figures = (
        counts
        | "One" >> beam.Map(lambda counted: (1, counted[1]))
        | "Total" >> beam.CombineGlobally(_add_pairs)
    )
    _ = (
        counts
        | "Frequent" >> beam.Filter(lambda counted: counted[1] >= config.min_count)
        # Words are distinct, so this is one order whatever the runner.
        | "Most" >> beam.combiners.Top.Of(config.max_words, key=_rank)
        | "Write" >> beam.Map(_write, beam.pvalue.AsSingleton(figures), folder)
    )


class _CountWords(beam.DoFn):
    """Counts words over many documents before it yields them: one call cuts a batch of texts."""

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
            self._cut()
        if len(self._counts) >= _MOST_WORDS:
            yield from self._told()

    def finish_bundle(self) -> Iterator[Any]:
        self._cut()
        for counted in self._told():
            yield beam.utils.windowed_value.WindowedValue(counted, MIN_TIMESTAMP, [GlobalWindow()])

    def _told(self) -> Iterator[tuple[str, int]]:
        counts, self._counts = self._counts, collections.Counter()
        for word, number in counts.items():
            yield word.decode(), number

    def _cut(self) -> None:
        if self._texts:
            splitter = _splitter(self._family, self._tokenizer)
            words, numbers = splitter.count(tf.constant(self._texts, tf.string))
            self._counts.update(
                dict(zip(words.numpy().tolist(), numbers.numpy().tolist(), strict=True))
            )
        self._texts, self._size = [], 0


@functools.lru_cache(maxsize=1)
def _splitter(family: str, tokenizer: str) -> Any:
    """What cuts words, made once in a worker process."""
    kind = FAMILIES[family].tokenizer
    return kind.word_splitter(from_json(kind.config_class, tokenizer))


def _add_pairs(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    words = occurrences = 0
    for more_words, more_occurrences in pairs:
        words, occurrences = words + more_words, occurrences + more_occurrences
    return words, occurrences


def _rank(counted: tuple[str, int]) -> tuple[int, str]:
    return counted[1], counted[0]


def _write(counts: Sequence[tuple[str, int]], figures: tuple[int, int], folder: str) -> None:
    content = {
        "words": figures[0],
        "occurrences": figures[1],
        "learned_words": len(counts),
        "learned_occurrences": sum(number for _, number in counts),
        "counts": dict(counts),
    }
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, _COUNTS_FILE)
    write_whole(path, [json.dumps(content, ensure_ascii=False)])


def _files(folder: pathlib.Path) -> list[str]:
    """The tokenizer's files, without where they come from: learned or given, it has one key."""
    return sorted(path.name for path in folder.iterdir() if path.name != WORDS_FILE)


def _of_base_model(
    row: Family, base_model: str, wanted: Any, settings: VocabularyConfig
) -> Tokenizer:
    """The base model's tokenizer, if it is what the configuration asks for."""
    made = row.tokenizer.load(pathlib.Path(base_model, SAVED_MODEL_FOLDER, MODEL_TOKENIZER_FOLDER))
    remedy = "Keep the blessed model's settings, or give the run another name to start afresh."
    for field in dataclasses.fields(wanted):
        had, wants = getattr(made.config, field.name), getattr(wanted, field.name)
        if had != wants:
            raise ConfigError(
                f"{field.name} is {wants}; the model that training starts from has {had}, and its"
                " weights are tied to its ids.",
                where=f"model.tokenizer.{field.name}",
                remedy=remedy,
            )
    if settings.file:
        given = row.import_vocabulary(pathlib.Path(settings.file), wanted)
        if list(given.vocabulary) != list(made.vocabulary):
            raise ConfigError(
                "The given vocabulary is not the one of the model that training starts from.",
                where=f"vocabulary.file: {settings.file}",
                remedy=remedy,
            )
    return made


def _origin(words: dict[str, Any], source: str) -> str:
    if words["origin"] == "learned":
        return (
            f"learned from {words['learned_words']:,} of {words['words']:,} words that occur"
            f" {words['occurrences']:,} times"
        )
    return f"taken from the {words['origin']} {source}"

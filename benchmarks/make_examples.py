"""Makes example files from raw text in one process; examples_benchmark.py measures it.

python -m benchmarks.make_examples --input FILE.jsonl --output FOLDER --tokenizer FOLDER
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.memory import fast_imports

with fast_imports():  # like `python -m pipeline run`
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.config import (
        CleaningConfig,
        ExamplesConfig,
        IngestionConfig,
        ValidationConfig,
        VocabularyConfig,
    )
    from components.examples import transforms as example_generation
    from components.examples.shards import document_shards
    from components.ingestion import transforms as ingestion
    from components.layout import SCRATCH_FOLDER, TOKENIZER_FOLDER
    from models.registry import FAMILIES
    from models.settings import from_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--family", default="bert", choices=list(FAMILIES))
    parser.add_argument("--model", default="{}", help="configuration of the family, as JSON")
    parser.add_argument("--flag", action="append", default=[], help="flag of Beam")
    options = parser.parse_args()
    documents = options.output / "documents"
    ingest(options.input, documents, options.flag)
    shutil.rmtree(documents / SCRATCH_FOLDER)
    model = json.loads(options.model)
    make(documents, options.output, options.family, model, options.tokenizer, options.flag)


def ingest(source: str, documents: pathlib.Path, flags: Sequence[str] = ()) -> None:
    """Ingests a file of documents."""
    with beam.Pipeline(options=PipelineOptions([*flags])) as pipeline:
        ingestion.ingest(pipeline, [source], str(documents), IngestionConfig())


def make(
    documents: pathlib.Path,
    output: pathlib.Path,
    family: str,
    model: Mapping[str, Any],
    tokenizer: pathlib.Path,
    flags: Sequence[str] = (),
) -> None:
    """Makes the examples of ingested documents."""
    folder = output / "examples"
    shutil.copytree(tokenizer, folder / TOKENIZER_FOLDER)
    settings = from_json(FAMILIES[family].config, json.dumps(model))
    with beam.Pipeline(options=PipelineOptions([*flags])) as pipeline:
        example_generation.build(
            pipeline,
            document_shards(str(documents), {}, None),
            str(folder),
            family=family,
            objective=json.dumps(dataclasses.asdict(settings.objective)),
            config=ExamplesConfig(),
            span=1,
            code="benchmark",
            finished=str(output / "finished"),
        )


def steps(
    source: pathlib.Path,
    folder: pathlib.Path,
    families: Mapping[str, Mapping[str, Any]],
    tokenizers: Mapping[str, pathlib.Path],
) -> dict[str, tuple[float, int]]:
    """Runs each step on Beam in this process, with all of cleaning on.

    Returns:
        Names of steps → seconds, and bytes written.
    """
    results: dict[str, tuple[float, int]] = {}

    def timed(name: str, target: pathlib.Path, work: Callable[[], None]) -> None:
        start = time.perf_counter()
        work()
        results[name] = time.perf_counter() - start, _size(target)

    documents, cleaned = folder / "documents", folder / "cleaned"
    timed("ingestion", documents, lambda: ingest(str(source), documents))
    runs = _size(documents / SCRATCH_FOLDER)
    seconds, written = results["ingestion"]
    results |= {"ingestion": (seconds, written - runs), "the exchange's runs": (0.0, runs)}
    timed("cleaning", cleaned, lambda: _clean(documents, cleaned, folder))
    for family, model in families.items():
        words, output = folder / "words" / family, folder / family
        count = functools.partial(_count_words, documents, words, family, model)
        timed(f"vocabulary, {family}", words, count)
        build = functools.partial(make, documents, output, family, model, tokenizers[family])
        timed(f"examples, {family}", output / "examples", build)
    return results


def _clean(documents: pathlib.Path, cleaned: pathlib.Path, folder: pathlib.Path) -> None:
    """Cleans documents with all rules; `folder` receives the evaluation texts."""
    from components.cleaning import transforms as cleaning
    from components.cleaning.evaluation_texts import read_evaluation_texts

    evaluation_texts = folder / "seen.txt"
    evaluation_texts.write_text(
        "This text has more than thirteen words and does not occur in the corpus of the benchmark."
    )
    settings = CleaningConfig(
        near_duplicate_similarity=0.75,
        language_confidence=0.9,
        quality=True,
        evaluation_texts=(str(evaluation_texts),),
        max_dropped_share=1.0,
    )
    texts = read_evaluation_texts(settings, str(folder / "seen.npy"))
    with beam.Pipeline() as pipeline:
        cleaning.clean(pipeline, str(documents), str(cleaned), settings, ValidationConfig(), texts)


def _count_words(
    documents: pathlib.Path, words: pathlib.Path, family: str, model: Mapping[str, Any]
) -> None:
    """Counts the words of documents for a family's vocabulary; writes them to `words`."""
    # Imports TFX, which making examples does not need.
    from components.vocabulary import component as vocabulary_trainer

    config = from_json(FAMILIES[family].config, json.dumps(model))
    tokenizer = json.dumps(dataclasses.asdict(config.tokenizer))
    with beam.Pipeline() as pipeline:
        vocabulary_trainer.count_words(
            pipeline, [str(documents)], str(words), family, tokenizer, VocabularyConfig()
        )


def _size(folder: pathlib.Path) -> int:
    return sum(os.path.getsize(path) for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()

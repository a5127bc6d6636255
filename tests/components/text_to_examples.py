"""Makes BERT examples from raw text without TFX: ingestion, cleaning and example building.

    python -m tests.components.text_to_examples INPUT FOLDER [--flag=…]

As in the pipeline, each attempt writes to a new folder, and finished shards are kept between them.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import shutil
import sys
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components.cleaning import transforms as cleaning
from components.config import CleaningConfig, ExamplesConfig, IngestionConfig, ValidationConfig
from components.examples.shards import document_shards
from components.examples.transforms import build
from components.ingestion import transforms as ingestion
from components.layout import SCRATCH_FOLDER
from components.readers.files import find_files
from models.bert.config import BertConfig, BertObjectiveConfig
from models.registry import FAMILIES
from models.tokenizers.config import WordPieceConfig
from tests.testdata.small_corpus import text

INGESTION = IngestionConfig(test_share=0.1, eval_share=0.1, shards=4, held_out_shards=2)
MODEL = BertConfig(objective=BertObjectiveConfig(sequence_length=48, dupe_factor=2))
CLEANING = CleaningConfig()


def learn(folder: pathlib.Path) -> None:
    """Learns a tokenizer from the words of the small corpus."""
    row, config = FAMILIES["bert"], WordPieceConfig(vocabulary_size=300)
    splitter: Any = row.tokenizer.word_splitter(config)
    words, numbers = splitter.count(tf.constant([text(number) for number in range(50)]))
    counts = {
        word.decode(): int(number)
        for word, number in zip(words.numpy(), numbers.numpy(), strict=True)
    }
    row.tokenizer.learn(collections.Counter(counts), config).save(folder)


def run(
    source: pathlib.Path,
    folder: pathlib.Path,
    attempt: str = "only",
    clean: CleaningConfig = CLEANING,
    flags: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Runs all steps below `folder / attempt`; returns the summaries that they write."""
    here = folder / attempt
    documents, cleaned, examples = here / "documents", here / "cleaned", here / "examples"

    def pipeline() -> beam.Pipeline:
        return beam.Pipeline(options=PipelineOptions([*flags]))

    with pipeline() as steps:
        ingestion.ingest(steps, find_files(str(source)).files, str(documents), INGESTION)
    shutil.rmtree(documents / SCRATCH_FOLDER)
    with pipeline() as steps:
        cleaning.clean(steps, str(documents), str(cleaned), clean, ValidationConfig(), None)
    shutil.rmtree(cleaned / SCRATCH_FOLDER)
    learn(examples / "tokenizer")
    with pipeline() as steps:
        build(
            steps, document_shards(str(cleaned), {}, None), str(examples), family="bert",
            objective=json.dumps(dataclasses.asdict(MODEL.objective)),
            config=ExamplesConfig(), span=1,
            code="c0de", finished=str(folder / "finished"),
        )  # fmt: skip
    return {
        "ingestion": json.loads((documents / "ingestion.json").read_text()),
        "cleaning": json.loads((cleaned / "cleaning.json").read_text()),
        "examples": json.loads((examples / "examples.json").read_text()),
        "manifest": (examples / "SHA256SUMS").read_text(),
    }


if __name__ == "__main__":
    source_path, folder_path, attempt_name, *beam_flags = sys.argv[1:]
    print("begun", flush=True)
    run(
        pathlib.Path(source_path),
        pathlib.Path(folder_path),
        attempt_name,
        flags=tuple(beam_flags),
    )

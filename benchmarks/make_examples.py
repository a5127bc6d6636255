"""Raw text to example files in one process: what the benchmark of examples runs and measures.

python -m benchmarks.make_examples --input FILE.jsonl --output FOLDER --tokenizer FOLDER
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shutil

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from components import example_generation, ingestion
from components.config import ExamplesConfig, IngestionConfig
from models.config import from_json
from models.registry import FAMILIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--family", default="bert", choices=list(FAMILIES))
    parser.add_argument("--model", default="{}", help="the family's configuration, as JSON")
    parser.add_argument("--flag", action="append", default=[], help="a flag of Beam's")
    options = parser.parse_args()
    documents, folder = options.output / "documents", options.output / "examples"
    shutil.copytree(options.tokenizer, folder / example_generation.TOKENIZER_FOLDER)
    with beam.Pipeline(options=PipelineOptions(options.flag)) as pipeline:
        ingestion.ingest(pipeline, [options.input], str(documents), IngestionConfig())
    shutil.rmtree(documents / ingestion.SCRATCH)
    model = from_json(FAMILIES[options.family].config, options.model)
    with beam.Pipeline(options=PipelineOptions(options.flag)) as pipeline:
        example_generation.build(
            pipeline,
            str(documents),
            str(folder),
            family=options.family,
            model=json.dumps(dataclasses.asdict(model)),
            config=ExamplesConfig(),
            span=1,
            code="benchmark",
            finished=str(options.output / "finished"),
        )


if __name__ == "__main__":
    main()

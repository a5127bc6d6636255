"""What training reads: the padding of BERT's batches by length buckets, and tokens read a second.

    python -m benchmarks.input_benchmark [--input FILE.jsonl] [--megabytes 8]

Examples of 128 tokens, each text once, from raw text by way of the pipeline's own steps, then one
epoch of batches of 32 as `models.training.loop` reads them: shuffled, parsed, cut. Reading must be
faster than the step, which takes some thousand tokens a second on two cores.
"""

from __future__ import annotations

import collections
import json
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.cores import print_processor
from benchmarks.corpus import arguments, read_documents
from benchmarks.make_examples import ingest, make
from models.registry import FAMILIES
from models.training.batches import example_batches
from models.training.config import TrainingConfig

BUCKETS = (1, 2, 4, 8, 16)


def main() -> None:
    options = arguments(__doc__.split("\n")[0], megabytes=8.0)
    print_processor()
    documents = read_documents(options.input, options.megabytes)
    family = FAMILIES["bert"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
            for document in documents:
                file.write(json.dumps({"id": document.id, "text": document.text}) + "\n")
        config = family.config()
        words: collections.Counter[str] = collections.Counter()
        splitter: Any = family.tokenizer.word_splitter(config.tokenizer)
        for document in documents:
            found, numbers = (each.numpy() for each in splitter.count(tf.constant([document.text])))
            words.update(
                dict(zip((word.decode() for word in found), numbers.tolist(), strict=True))
            )
        family.tokenizer.learn(words, config.tokenizer).save(folder / "tokenizer")
        ingest(str(folder / "text.jsonl"), folder / "documents")
        model = {"family": "bert", "objective": {"dupe_factor": 1}}
        make(folder / "documents", folder, "bert", model, folder / "tokenizer")
        files = [str(path) for path in folder.glob("examples/Split-train/*.gz")]
        tokenizer = family.tokenizer.load(folder / "tokenizer")
        spec = family.build_objective(config.objective, tokenizer).feature_spec()
        print(f"{'buckets':>8s} {'batches':>8s} {'padding':>8s} {'tokens/s':>10s}")
        for buckets in BUCKETS:
            batches = example_batches(files, TrainingConfig(length_buckets=buckets), spec)
            begun, count, real, positions = time.perf_counter(), 0, 0, 0
            for batch in batches(0, 0).as_numpy_iterator():
                count += 1
                real += int(batch["padding_mask"].sum())
                positions += int(np.prod(batch["padding_mask"].shape))
            rate = real / (time.perf_counter() - begun)
            print(f"{buckets:8d} {count:8d} {1 - real / positions:8.1%} {rate:10,.0f}", flush=True)


if __name__ == "__main__":
    main()

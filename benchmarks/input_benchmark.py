"""Speed of reading training examples, and the padding of BERT's batches by length buckets.

    python -m benchmarks.input_benchmark [--input FILE.jsonl] [--megabytes 8]

The pipeline's own steps make examples of 128 tokens from raw text. Then one epoch is read in
batches of 32 as in `models.training.loop`: shuffled, parsed, cut to the bucket. Reading must be
faster than the training step, which processes a few thousand tokens per second on two cores.
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
            distinct, counts = (
                each.numpy() for each in splitter.count(tf.constant([document.text]))
            )
            words.update(
                dict(zip((word.decode() for word in distinct), counts.tolist(), strict=True))
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
            start, count, tokens, positions = time.perf_counter(), 0, 0, 0
            for batch in batches(0, 0).as_numpy_iterator():
                count += 1
                tokens += int(batch["padding_mask"].sum())
                positions += int(np.prod(batch["padding_mask"].shape))
            rate = tokens / (time.perf_counter() - start)
            print(
                f"{buckets:8d} {count:8d} {1 - tokens / positions:8.1%} {rate:10,.0f}", flush=True
            )


if __name__ == "__main__":
    main()

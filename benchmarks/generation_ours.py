"""Polyseme's side of the generation benchmark, started by generation_benchmark.py.

python -m benchmarks.generation_ours race|shapes BATCH
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import sys
import tempfile
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.cores import answer, timed
from models.gpt.backbone import build_backbone
from models.gpt.config import SIZES, GptObjectiveConfig
from models.gpt.generation import Sampling, generate
from models.gpt.objective import GptObjective
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.config import ByteBpeConfig

PROMPT, LENGTH, VOCABULARY = 30, 32, 50_257


class Vocabulary:
    """A substitute for GPT-2's tokenizer that turns ids into bytes; the race needs no more."""

    vocabulary = range(VOCABULARY)
    special_ids = {"end_of_text": VOCABULARY - 1}  # noqa: RUF012

    def __init__(self) -> None:
        self.entries = tf.constant([b"word "] * VOCABULARY)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The bytes of ids, string `[batch]`."""
        return tf.strings.reduce_join(tf.gather(self.entries, ids), axis=-1)


def main() -> None:
    what, batch = sys.argv[1], int(sys.argv[2])
    keras.utils.set_random_seed(0)
    if what == "race":
        _race(batch)
    else:
        print(json.dumps({"calls": _shapes()}), flush=True)


def _race(batch: int) -> None:
    tokenizer: Any = Vocabulary()
    decoder = build_backbone(SIZES["small"], tokenizer)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def continued(ids: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(ids)[0]
        outputs = generate(
            decoder,
            tokenizer,
            tf.RaggedTensor.from_tensor(ids),
            tf.fill([rows], LENGTH),
            Sampling(tf.zeros([rows]), tf.zeros([rows], tf.int32), tf.ones([rows])),
            tf.zeros([rows], tf.int64),
            tf.fill([rows], ""),
            decoder.max_length,
        )
        return outputs["token_count"]

    # `generate` adds end-of-text as the first token of the prompt.
    ids = np.random.default_rng(0).integers(0, VOCABULARY - 1, (batch, PROMPT - 1), np.int32)
    prompts = tf.constant(ids)
    if continued(prompts).numpy().tolist() != [LENGTH] * batch:
        raise SystemExit("a continuation ended too early")
    description = {"versions": f"TensorFlow {tf.__version__}", "prompt": PROMPT, "length": LENGTH}
    print(json.dumps(description), flush=True)
    matrix = tf.random.uniform((2_048, 2_048))
    answer(lambda: continued(prompts).numpy(), lambda: tf.matmul(matrix, matrix).numpy())


def _shapes() -> list[dict[str, float]]:
    """The time of each of 1,000 calls with different shapes, and the memory after it, in bytes."""
    tokenizer = ByteBpeTokenizer.learn(
        {" river": 3, " bank": 2}, ByteBpeConfig(vocabulary_size=260)
    )
    objective = GptObjective(GptObjectiveConfig(sequence_length=128), tokenizer)
    model = objective.build_model(build_backbone(SIZES["tiny"], tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        module.model, module.tokenizer = model, tokenizer
        module.tables = [table for baseline in model.baselines for table in baseline.tables]
        signature = objective.signatures(model, tokenizer)["generate"]
        tf.saved_model.save(module, folder, signatures={"generate": signature})
        served = tf.saved_model.load(folder).signatures["generate"]
    shapes = list(itertools.product(range(1, 5), range(1, 51), (8, 16, 24, 32, 40)))
    calls = []
    for batch, prompt, length in np.random.default_rng(0).permutation(shapes).tolist():
        columns = {
            "prompt": tf.constant(["#" * prompt] * batch),
            "length": tf.constant([length] * batch),
            "temperature": tf.zeros([batch]),
            "top_k": tf.zeros([batch], tf.int32),
            "top_p": tf.ones([batch]),
            "seed": tf.zeros([batch], tf.int64),
            "stop": tf.constant([""] * batch),
        }
        tokens: list[int] = []
        cores = time.process_time()
        seconds, others, _ = timed(
            lambda: tokens.append(int(tf.reduce_max(served(**columns)["token_count"])))  # noqa: B023
        )
        calls.append(
            {
                "seconds": seconds,
                "others": others,
                "cores": time.process_time() - cores,
                "tokens": tokens[0],
                "resident": _resident(),
            }
        )
    return calls


def _resident() -> float:
    """Bytes of this process in memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


if __name__ == "__main__":
    main()

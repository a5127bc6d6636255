"""transformers' side of the generation benchmark, started by generation_benchmark.py.

    python benchmarks/generation_peer.py BATCH

Runs in its own environment with torch, transformers and numpy.
"""

from __future__ import annotations

import json
import os
import sys

import torch
import transformers
from cores import answer

PROMPT, LENGTH, VOCABULARY = 30, 32, 50_257


def main() -> None:
    batch = int(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    ids = torch.randint(0, VOCABULARY - 1, (batch, PROMPT))
    mask = torch.ones_like(ids)

    @torch.inference_mode()
    def continued() -> int:
        outputs = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=LENGTH,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return int(outputs.shape[1])

    if continued() != PROMPT + LENGTH:
        raise SystemExit("a continuation ended too early")
    versions = f"PyTorch {torch.__version__}, transformers {transformers.__version__}"
    print(json.dumps({"versions": versions}), flush=True)
    matrix = torch.rand(2_048, 2_048)
    answer(continued, lambda: matrix @ matrix)


if __name__ == "__main__":
    main()

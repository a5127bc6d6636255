"""PyTorch's side of the training benchmark, started by training_benchmark.py.

    python benchmarks/training_peer.py FAMILY

Runs in its own environment with torch, transformers and numpy, and imports from the project only
the batches and the timing. Reads and prints the same lines as training_ours.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
import training_batches
import transformers
from cores import PEAK_SIZE, answer
from torch import nn
from training_batches import ELMO_FILTERS, SHAPES, Shape

Batch = Mapping[str, torch.Tensor]
Loss = Callable[[Batch], torch.Tensor]
CLIP_NORM = {"bert": 1.0, "gpt": 1.0, "elmo": 0.5}


def main() -> None:
    options = _arguments()
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    shape = SHAPES[options.family]
    model, loss_of = {"bert": _bert, "gpt": _gpt, "elmo": _elmo}[options.family](shape, options)
    model.train()
    if options.compile:
        loss_of = torch.compile(loss_of)
    weights = list(model.parameters())
    optimizer: torch.optim.Optimizer
    if options.family == "elmo":
        optimizer = torch.optim.Adagrad(
            weights, lr=0.2, initial_accumulator_value=1.0, fused=options.fused
        )
    else:
        optimizer = torch.optim.AdamW(weights, lr=1e-4, weight_decay=0.01, fused=options.fused)

    def step(batch: Batch) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, CLIP_NORM[options.family])
        optimizer.step()
        return float(loss.detach())

    data = [
        {name: _tensor(value) for name, value in batch.items()}
        for batch in training_batches.batches(options.family, options.batches)
    ]
    start = time.perf_counter()
    description = {
        "first_loss": step(data[0]),
        "first_seconds": time.perf_counter() - start,
        "parameters": sum(weight.numel() for weight in weights),
        "versions": f"PyTorch {torch.__version__}, transformers {transformers.__version__}",
        "mode": "torch.compile" if options.compile else "eager",
    }
    print(json.dumps(description), flush=True)
    batch = itertools.cycle(data[1:] + data[:1])
    matrix = torch.rand(PEAK_SIZE, PEAK_SIZE)
    answer(lambda: step(next(batch)), lambda: matrix @ matrix)


def _bert(shape: Shape, options: argparse.Namespace) -> tuple[nn.Module, Loss]:
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        intermediate_size=4 * shape.hidden_size,
        hidden_act=options.gelu,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        attn_implementation=options.attention,
    )
    model = transformers.BertForPreTraining(config)

    def loss_of(batch: Batch) -> torch.Tensor:
        labels = torch.full_like(batch["token_ids"], -100)
        labels.scatter_(1, batch["mask_positions"], batch["mask_ids"])
        return model(
            input_ids=batch["token_ids"],
            token_type_ids=batch["segment_ids"],
            attention_mask=batch["padding_mask"],
            labels=labels,
            next_sentence_label=batch["next_sentence_label"],
        ).loss

    return model, loss_of


def _gpt(shape: Shape, options: argparse.Namespace) -> tuple[nn.Module, Loss]:
    config = transformers.GPT2Config(
        vocab_size=shape.vocabulary,
        n_embd=shape.hidden_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        activation_function=options.gelu,
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=shape.dropout,
        use_cache=False,
        attn_implementation=options.attention,
    )
    model = transformers.GPT2LMHeadModel(config)

    def loss_of(batch: Batch) -> torch.Tensor:
        return model(
            input_ids=batch["token_ids"],
            labels=batch["label_ids"],
            shift_labels=batch["label_ids"],
        ).loss

    return model, loss_of


def _elmo(shape: Shape, options: argparse.Namespace) -> tuple[nn.Module, Loss]:
    model = Elmo(shape, distinct=options.distinct)
    return model, model.loss


class Elmo(nn.Module):
    """A language model in both directions, without clipping, which torch.nn.LSTM lacks."""

    def __init__(self, shape: Shape, *, distinct: bool) -> None:
        super().__init__()
        filters = sum(count for _, count in ELMO_FILTERS)
        self.shape = shape
        self.distinct = distinct
        self.characters = nn.Embedding(training_batches.CHARACTERS, 16)
        self.convolutions = nn.ModuleList(nn.Conv1d(16, count, w) for w, count in ELMO_FILTERS)
        self.carry = nn.Linear(filters, filters)
        self.transform = nn.Linear(filters, filters)
        self.projection = nn.Linear(filters, shape.hidden_size)
        self.lstms = nn.ModuleList(
            nn.ModuleList(
                nn.LSTM(shape.hidden_size, shape.units, proj_size=shape.hidden_size)
                for _ in range(shape.num_layers)
            )
            for _ in range(2)
        )
        self.softmax = nn.Embedding(shape.vocabulary, shape.hidden_size)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        nn.init.normal_(self.softmax.weight, std=shape.hidden_size**-0.5)
        nn.init.constant_(self.carry.bias, -2.0)
        self.states: list[list[tuple[torch.Tensor, torch.Tensor] | None]] = [
            [None] * shape.num_layers for _ in range(2)
        ]

    def loss(self, batch: Batch) -> torch.Tensor:
        """The mean loss of both directions."""
        both = torch.stack([batch["character_ids"], batch["backward_character_ids"]])
        words = self.words(both.transpose(1, 2).flatten(0, 2))  # time first
        tokens = words.view(2, self.shape.time, self.shape.batch, self.shape.hidden_size)
        losses = []
        for direction, labels in enumerate(("next_ids", "previous_ids")):
            inputs = tokens[direction]
            for depth, lstm in enumerate(self.lstms[direction]):
                dropped = F.dropout(inputs, self.shape.dropout, self.training)
                outputs, (h, c) = lstm(dropped, self.states[direction][depth])
                self.states[direction][depth] = (h.detach(), c.detach())
                inputs = outputs + dropped if depth else outputs
            hidden = F.dropout(inputs, self.shape.dropout, self.training)
            losses.append(self.sampled(hidden.flatten(0, 1), batch[labels].t().flatten()))
        return torch.stack(losses).mean()

    def words(self, rows: torch.Tensor) -> torch.Tensor:
        """Character ids `[words, 50]` → `[words, width]`."""
        if self.distinct:
            distinct, indices = torch.unique(rows, dim=0, return_inverse=True)
            return F.embedding(indices, self.vectors(distinct[:, : self.needed(distinct)]))
        return self.vectors(rows)

    def needed(self, rows: torch.Tensor) -> int:
        """Number of positions of `[words, 50]` that can change a maximum; more padding cannot."""
        longest = int((rows != training_batches.PADDING).any(dim=0).sum())
        return min(longest + max(width for width, _ in ELMO_FILTERS), rows.shape[1])

    def vectors(self, rows: torch.Tensor) -> torch.Tensor:
        """Character ids `[words, 50]` → `[words, width]`, computed for every row."""
        letters = self.characters(rows).transpose(1, 2)
        x = torch.cat([F.relu(each(letters).amax(dim=2)) for each in self.convolutions], dim=1)
        gate = torch.sigmoid(self.carry(x))
        x = gate * F.relu(self.transform(x)) + (1 - gate) * x
        return self.projection(x)

    def sampled(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss over the label and words sampled with P(w) ~ log((w + 2) / (w + 1))."""
        total = math.log(self.shape.vocabulary + 1)
        sampled = (torch.rand(self.shape.num_sampled) * total).exp().long() - 1
        sampled = sampled.clamp_(0, self.shape.vocabulary - 1)
        others = torch.addmm(self.offsets(sampled), hidden, self.softmax(sampled).t())
        others = others.masked_fill(sampled == labels[:, None], torch.finfo(others.dtype).min)
        correct = (hidden * self.softmax(labels)).sum(dim=1) + self.offsets(labels)
        logits = torch.cat([correct[:, None], others], dim=1)
        return F.cross_entropy(logits, torch.zeros_like(labels))

    def offsets(self, words: torch.Tensor) -> torch.Tensor:
        """The bias minus the logarithm of the expected number of draws."""
        share = torch.log1p(1.0 / (words + 1.0)) / math.log(self.shape.vocabulary + 1)
        return self.bias[words] - torch.log(self.shape.num_sampled * share)


def _tensor(value: np.ndarray) -> torch.Tensor:
    tensor = torch.as_tensor(np.ascontiguousarray(value))
    return tensor if tensor.is_floating_point() else tensor.long()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", choices=list(SHAPES))
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument(
        "--fused", type=int, default=1, help="whether to use the optimizer's fused kernel"
    )
    parser.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    parser.add_argument("--gelu", default="gelu_pytorch_tanh")
    parser.add_argument(
        "--distinct", type=int, default=1, help="whether to compute each distinct word once"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

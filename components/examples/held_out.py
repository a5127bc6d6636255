"""Makes held-out examples from blocks of documents, so that their metrics can be resampled."""

import collections
from collections.abc import Iterator, Sequence

import numpy as np

from components.evaluation.resampling_units import UNIT, blocks, unit_names
from models.objective import Examples, Objective, TokenizedDocument

_SHUFFLED = 4_096  # examples in memory at a time


def held_out_examples(
    objective: Objective,
    documents: Sequence[TokenizedDocument],
    key: tuple[int, ...],
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Makes the held-out examples of a shard, one block of documents after the other.

    Documents are assigned to blocks at random. Documents with similar ids may have similar texts,
    for example of one year or site, and the other documents of a block should be a random sample.
    The examples are shuffled, `_SHUFFLED` at a time, because training reads only the first ones,
    which should be a sample of all documents.

    Args:
        objective: makes the examples.
        documents: the documents of the shard.
        key: (seed, span, split, shard), the key of all random draws.
        tally: counts what is dropped or cut, by reason.

    Yields:
        Batches of examples, with the feature `unit`; see components/evaluation/resampling_units.py.
    """
    window = objective.feature_spec()["padding_mask"].shape[0]
    rng = np.random.default_rng((*key, 0))
    order = rng.permutation(len(documents)).tolist()
    waiting: list[Examples] = []
    count = 0
    for number, block in enumerate(blocks([len(documents[n].tokens) for n in order], window)):
        of_block = [documents[n] for n in sorted(order[block.start : block.stop])]
        block_rng = np.random.default_rng((*key, 1, number))
        first = 0
        for examples in objective.make_examples(of_block, block_rng, tally, held_out=True):
            size = len(examples["padding_mask"])
            waiting.append({**examples, UNIT: unit_names(key[-1], number, first, size)})
            first += size
            count += size
            if count >= _SHUFFLED:
                yield _shuffled(waiting, rng)
                waiting, count = [], 0
    if count:
        yield _shuffled(waiting, rng)


def _shuffled(parts: Sequence[Examples], rng: np.random.Generator) -> Examples:
    """The examples of several batches as one batch, in random order."""
    order = rng.permutation(sum(len(part[UNIT]) for part in parts))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}

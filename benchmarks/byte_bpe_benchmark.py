"""Speed of in-graph byte-level BPE, tiktoken and Hugging Face's `tokenizers` on one core.

    python -m benchmarks.byte_bpe_benchmark [--input FILE.jsonl] [--megabytes 8]
    python -m benchmarks.byte_bpe_benchmark --vocabulary FOLDER

All tokenizers get the paragraphs of the same text in batches of 1,000 and have the same vocabulary:
learned from the text, or imported from `encoder.json` and `vocab.bpe`. Prints megabytes of UTF-8
per second, the ratios, and the number of paragraphs with the same ids.
"""

from __future__ import annotations

import os
import pathlib
import tempfile

import tensorflow as tf
import tiktoken
import tokenizers

from benchmarks import tokenizer_race
from benchmarks.corpus import arguments
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.byte_bpe_files import ENTRIES_FILE, MERGES_FILE
from models.tokenizers.config import ByteBpeConfig

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def main() -> None:
    options = arguments(
        __doc__, megabytes=8, vocabulary="folder to import it from; default: it is learned"
    )
    batches, size = tokenizer_race.start(options)
    config = ByteBpeConfig(vocabulary_size=options.vocabulary_size)
    if options.vocabulary:
        ours = ByteBpeTokenizer.import_vocabulary(options.vocabulary, config)
    else:
        splitter = ByteBpeTokenizer.word_splitter(config)
        ours = ByteBpeTokenizer.learn(tokenizer_race.count_words(splitter, batches), config)
    openai, hugging_face = _tiktoken(ours), _tokenizers(ours)
    print(f"{size:.1f} MB, {sum(map(len, batches)):,} paragraphs, {len(ours.vocabulary):,} entries")

    speeds = tokenizer_race.race(
        {
            "in graph": lambda batch: ours.tokenize(tf.constant(batch)),
            "in graph, with offsets": lambda batch: ours.tokenize_with_offsets(tf.constant(batch)),
            "tiktoken": lambda batch: [openai.encode_ordinary(text) for text in batch],
            "tokenizers": hugging_face.encode_batch_fast,
            "tokenizers, with offsets": hugging_face.encode_batch,
        },
        batches,
        size,
        options.repeats,
    )
    for name in ("tiktoken", "tokenizers"):
        print(f"ratio to {name} {speeds['in graph'] / speeds[name]:.1f}")
    for name, theirs in {
        "tiktoken": lambda batch: [openai.encode_ordinary(text) for text in batch],
        "tokenizers": lambda batch: [e.ids for e in hugging_face.encode_batch_fast(batch)],
    }.items():
        tokenizer_race.print_equal(
            lambda batch: ours.tokenize(tf.constant(batch)).to_list(), theirs, batches, name
        )


def _tiktoken(ours: ByteBpeTokenizer) -> tiktoken.Encoding:
    """OpenAI's tokenizer with the vocabulary of `ours`."""
    ranks = {entry: rank for rank, entry in enumerate(ours.token_bytes) if entry}
    return tiktoken.Encoding("ours", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def _tokenizers(ours: ByteBpeTokenizer) -> tokenizers.Tokenizer:
    """Hugging Face's tokenizer with the vocabulary of `ours`."""
    with tempfile.TemporaryDirectory() as folder:
        ours.save(pathlib.Path(folder))
        paths = [os.path.join(folder, name) for name in (ENTRIES_FILE, MERGES_FILE)]
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*paths))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return theirs


if __name__ == "__main__":
    main()

"""Speed of in-graph WordPiece and of Hugging Face's `tokenizers` on one core.

    python -m benchmarks.tokenizer_benchmark [--input FILE.jsonl] [--megabytes 8]

Both have the same vocabulary, get the paragraphs of the same text in batches of 1,000, and return
ids without special tokens. Prints megabytes of UTF-8 per second, the ratio, and the number of
paragraphs with the same ids.
"""

from __future__ import annotations

import os
import pathlib
import tempfile

import tensorflow as tf
import tokenizers

from benchmarks import tokenizer_race
from benchmarks.corpus import arguments
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.wordpiece import VOCABULARY_FILE, WordPieceTokenizer


def main() -> None:
    options = arguments(__doc__, megabytes=8)
    batches, size = tokenizer_race.start(options)
    config = WordPieceConfig(vocabulary_size=options.vocabulary_size)
    splitter = WordPieceTokenizer.word_splitter(config)
    ours = WordPieceTokenizer.learn(tokenizer_race.count_words(splitter, batches), config)
    theirs = _theirs(ours)
    print(f"{size:.1f} MB, {sum(map(len, batches)):,} paragraphs, {len(ours.vocabulary):,} entries")

    speeds = tokenizer_race.race(
        {
            "in graph": lambda batch: ours.tokenize(tf.constant(batch)),
            "in graph, with offsets": lambda batch: ours.tokenize_with_offsets(tf.constant(batch)),
            "tokenizers": lambda batch: theirs.encode_batch_fast(batch, add_special_tokens=False),
            "tokenizers, with offsets": lambda batch: theirs.encode_batch(
                batch, add_special_tokens=False
            ),
        },
        batches,
        size,
        options.repeats,
    )
    print(f"ratio {speeds['in graph'] / speeds['tokenizers']:.1f}")
    tokenizer_race.print_equal(
        lambda batch: ours.tokenize(tf.constant(batch)).to_list(),
        lambda batch: [e.ids for e in theirs.encode_batch(batch, add_special_tokens=False)],
        batches,
        "tokenizers",
    )


def _theirs(ours: WordPieceTokenizer) -> tokenizers.Tokenizer:
    """Hugging Face's tokenizer with the vocabulary of `ours`."""
    with tempfile.TemporaryDirectory() as folder:
        ours.save(pathlib.Path(folder))
        theirs = tokenizers.Tokenizer(
            tokenizers.models.WordPiece.from_file(
                os.path.join(folder, VOCABULARY_FILE),
                unk_token="[UNK]",
                max_input_chars_per_word=ours.config.max_word_bytes,
            )
        )
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return theirs


if __name__ == "__main__":
    main()

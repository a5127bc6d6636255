"""In-graph WordPiece against Hugging Face's `tokenizers`: one core, the same text and vocabulary.

    python -m benchmarks.tokenizer_benchmark [--input FILE.jsonl] [--megabytes 8]

Both get the paragraphs of the text in batches of 1,000 and give ids without special tokens. Prints
megabytes of UTF-8 a second, the ratio, and how many paragraphs have the same ids in both.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tokenizers

from benchmarks.corpus import arguments, read_documents
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.vocabulary import learn
from models.tokenizers.wordpiece import VOCABULARY_FILE, WordPieceTokenizer

BATCH = 1_000


def main() -> None:
    options = arguments(__doc__, megabytes=8)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    documents = read_documents(options.input, options.megabytes)
    lines = (line for document in documents for line in document.text.split("\n"))
    paragraphs = [line for line in lines if line.strip()]
    batches = [paragraphs[begin : begin + BATCH] for begin in range(0, len(paragraphs), BATCH)]
    size = sum(len(paragraph.encode()) for paragraph in paragraphs) / 1e6
    ours, theirs = _tokenizers(batches, options.vocabulary_size)
    print(f"{size:.1f} MB, {len(paragraphs):,} paragraphs, {len(ours.vocabulary):,} entries")

    candidates: dict[str, Callable[[Sequence[str]], Any]] = {
        "in graph": lambda batch: ours.tokenize(tf.constant(batch)),
        "in graph, with offsets": lambda batch: ours.tokenize_with_offsets(tf.constant(batch)),
        "tokenizers": lambda batch: theirs.encode_batch_fast(batch, add_special_tokens=False),
        "tokenizers, with offsets": lambda batch: theirs.encode_batch(
            batch, add_special_tokens=False
        ),
    }
    speeds = {
        name: size / _fastest(tokenize, batches, options.repeats)
        for name, tokenize in candidates.items()
    }
    for name, speed in speeds.items():
        print(f"{name:26s} {speed:7.2f} MB/s")
    print(f"ratio {speeds['in graph'] / speeds['tokenizers']:.1f}")
    print(f"same ids in {_equal(ours, theirs, batches):,} of {len(paragraphs):,} paragraphs")


def _tokenizers(
    batches: Sequence[Sequence[str]], size: int
) -> tuple[WordPieceTokenizer, tokenizers.Tokenizer]:
    """Ours, learned of the text, and theirs of our vocabulary file."""
    config = WordPieceConfig(vocabulary_size=size)
    splitter = WordPieceTokenizer.word_splitter(config)
    counts: Counter[str] = Counter()
    for batch in batches:
        words, numbers = splitter.count(tf.constant(batch))
        for word, number in zip(words.numpy(), numbers.numpy(), strict=True):
            counts[word.decode()] += int(number)
    ours = learn(counts, config)
    with tempfile.TemporaryDirectory() as folder:
        ours.save(pathlib.Path(folder))
        theirs = tokenizers.Tokenizer(
            tokenizers.models.WordPiece.from_file(
                os.path.join(folder, VOCABULARY_FILE),
                unk_token="[UNK]",
                max_input_chars_per_word=config.max_word_bytes,
            )
        )
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return ours, theirs


def _fastest(
    tokenize: Callable[[Sequence[str]], Any], batches: Sequence[Sequence[str]], repeats: int
) -> float:
    """Seconds for all batches, the least of some repeats after a warm-up."""
    tokenize(batches[0])
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        for batch in batches:
            tokenize(batch)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _equal(
    ours: WordPieceTokenizer, theirs: tokenizers.Tokenizer, batches: Sequence[Sequence[str]]
) -> int:
    """Paragraphs whose ids are the same in both."""
    return sum(
        row == encoding.ids
        for batch in batches
        for row, encoding in zip(
            ours.tokenize(tf.constant(batch)).to_list(),
            theirs.encode_batch(batch, add_special_tokens=False),
            strict=True,
        )
    )


if __name__ == "__main__":
    main()

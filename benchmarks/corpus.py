"""The text of the benchmarks, and their common options."""

from __future__ import annotations

import argparse
import json
import pathlib

from components.documents import Document
from models.errors import ConfigError

DEFAULT = "corpora/sotu/sotu-1.jsonl"


def arguments(description: str, megabytes: float, **paths: str) -> argparse.Namespace:
    """Parses the options that all benchmarks have, and optional paths, given as name=help."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", type=pathlib.Path, default=pathlib.Path(DEFAULT))
    parser.add_argument("--megabytes", type=float, default=megabytes, help="of text, UTF-8")
    parser.add_argument("--vocabulary-size", type=int, default=8_192)
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats, of which the fastest counts"
    )
    for name, description in paths.items():
        parser.add_argument(f"--{name}", type=pathlib.Path, help=description)
    return parser.parse_args()


def paragraph_batches(options: argparse.Namespace, batch: int) -> tuple[list[list[str]], float]:
    """The paragraphs of the text in batches, and their size in megabytes of UTF-8."""
    documents = read_documents(options.input, options.megabytes)
    lines = (line for document in documents for line in document.text.split("\n"))
    paragraphs = [line for line in lines if line.strip()]
    size = sum(len(paragraph.encode()) for paragraph in paragraphs) / 1e6
    return [paragraphs[i : i + batch] for i in range(0, len(paragraphs), batch)], size


def read_documents(path: pathlib.Path, megabytes: float) -> list[Document]:
    """The first documents of a .jsonl file, up to an amount of text.

    Raises:
        ConfigError: the file does not exist.
    """
    if not path.is_file():
        raise ConfigError(
            "the text of the benchmark does not exist",
            where=str(path),
            remedy="write the sample corpus: python -m pipeline corpus sotu",
        )
    documents, size = [], 0
    with path.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            documents.append(Document(record["id"], record["text"], "benchmark", "en", 0))
            size += len(record["text"].encode())
            if size >= megabytes * 1e6:
                break
    return documents

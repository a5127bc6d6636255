"""Speed and memory of example generation: against a peer, by stage, by workers and by size of text.

    python -m benchmarks.examples_benchmark [race shares workers memory rates] [--input FILE.jsonl]

- race: sequences per second from raw text, in whole processes on one core, against
  `create_pretraining_data.py` of `tf-models-official` in its own environment, with the same text
  and vocabulary.
- shares: seconds of each stage of a shard in this process, the fastest of three runs, and their sum
  as a multiple of tokenization.
- workers: one worker process against two.
- memory: peak memory of all processes together for growing texts (the input is repeated with new
  ids), without worker processes and with two.
- rates: seconds of one core per MB of text and bytes written, for each step on Beam, without
  imports; and the core-hours for 1 TB.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.cores import print_processor
from benchmarks.corpus import DEFAULT
from benchmarks.make_examples import steps
from benchmarks.processes import measure
from components.documents import Document
from components.examples.tokenization import GraphTokenizer, tokenize_documents
from components.layout import EXAMPLES_FILE
from components.storage.record_files import RecordWriter
from models.examples import Serializer
from models.registry import FAMILIES
from models.settings import from_json
from models.tokenizers.sentences import split_sentences

PEER = "tf-models-official==2.16.0"
PARTS = ("race", "shares", "workers", "memory", "rates")

CORES = {1: "0", 2: "0,1"}
WORKERS = {
    count: ("--direct_running_mode=multi_processing", f"--direct_num_workers={count}")
    for count in CORES
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # No `choices`, because some versions of Python check the whole default against them.
    parser.add_argument("parts", nargs="*", type=_part, default=list(PARTS), metavar="part")
    parser.add_argument("--input", type=pathlib.Path, default=pathlib.Path(DEFAULT))
    parser.add_argument("--megabytes", type=float, default=4, help="text of race, shares, rates")
    parser.add_argument("--workers-megabytes", type=float, default=40)
    parser.add_argument("--workers-dupe", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--memory-megabytes", type=float, nargs="*", default=[15, 60])
    parser.add_argument("--document-characters", type=int, default=5_000, help="documents of rates")
    parser.add_argument("--dupe", type=int, nargs="*", default=[1, 5], help="dupe factors of race")
    parser.add_argument("--vocabulary-size", type=int, default=8_192)
    options = parser.parse_args()
    print_processor()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        for part in options.parts:
            getattr(bench, part)()


def _part(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(PARTS)}")
    return name


class Bench:
    """The parts of the benchmark on one text, with tokenizers learned from it."""

    def __init__(self, options: argparse.Namespace, folder: pathlib.Path) -> None:
        self._options = options
        self._folder = folder
        self._texts = list(_texts(options.input))
        self._tokenizers: dict[str, pathlib.Path] = {}

    def race(self) -> None:
        """Prints sequences per second of whole processes, and those of the peer."""
        python = _peer_environment()
        text = self._corpus(self._options.megabytes)
        lines = self._folder / "lines.txt"
        with lines.open("w", encoding="utf-8") as stream:
            for document in _texts(text):
                sentences = split_sentences(document, "en")
                stream.write("\n".join(" ".join(s.split()) for s in sentences) + "\n\n")
        vocabulary = self._tokenizer("bert") / "vocab.txt"
        for dupe in self._options.dupe:
            model = {"objective": {"dupe_factor": dupe}}
            seconds, _, count = self._make("bert", text, model)
            ours = count / seconds
            records = self._folder / "peer.tfrecord"
            command = [
                str(python), "-m", "official.nlp.data.create_pretraining_data",
                f"--input_file={lines}", f"--output_file={records}", f"--vocab_file={vocabulary}",
                f"--dupe_factor={dupe}",
            ]  # fmt: skip
            peer_seconds, _ = measure(command, cores="0")
            peer_count = sum(1 for _ in tf.data.TFRecordDataset(str(records)))
            theirs = peer_count / peer_seconds
            print(
                f"race, dupe {dupe}: {count:,} sequences in {seconds:.1f} s, {ours:,.0f}/s;"
                f" peer {peer_count:,} in {peer_seconds:.1f} s, {theirs:,.0f}/s;"
                f" ratio {ours / theirs:.1f}"
            )

    def shares(self) -> None:
        """Prints the seconds of each stage in this process, and their sum over tokenization."""
        os.sched_setaffinity(0, {0})
        documents = [
            Document(f"{number}", text, "benchmark", "en", 0)
            for number, text in enumerate(_texts(self._corpus(self._options.megabytes)))
        ]
        for name, model in (
            ("bert", {"objective": {"dupe_factor": 1}}),
            ("gpt", {}),
            ("elmo", {}),
        ):
            self._stages(name, model, documents)

    def workers(self) -> None:
        """Prints the seconds with one worker process and with two, each on its own core."""
        text = self._corpus(self._options.workers_megabytes)
        for dupe in self._options.workers_dupe:
            model = {"objective": {"dupe_factor": dupe}}
            seconds = {
                count: self._make("bert", text, model, WORKERS[count], CORES[count])[0]
                for count in CORES
            }
            print(
                f"workers, dupe {dupe}: one process {seconds[1]:.1f} s, two {seconds[2]:.1f} s;"
                f" ratio {seconds[1] / seconds[2]:.2f}"
            )

    def memory(self) -> None:
        """Prints the peak memory of all processes for each size of text."""
        model = {"objective": {"dupe_factor": 1}}
        for workers in (1, 2):
            peaks = []
            flags = WORKERS[workers] if workers > 1 else ()
            for megabytes in self._options.memory_megabytes:
                text = self._corpus(megabytes)
                seconds, peak, _ = self._make(
                    "bert", text, model, flags, CORES[workers], memory=True
                )
                peaks.append(peak)
                print(
                    f"memory: {workers} worker(s), {megabytes:,.0f} MB of text in {seconds:.0f} s,"
                    f" {peak / 1e6:,.0f} MB"
                )
            ratio = max(peaks) / min(peaks)
            print(f"memory: {workers} worker(s), largest over smallest {ratio:.2f}")

    def rates(self) -> None:
        """Prints seconds and bytes of each step on Beam per MB of text."""
        os.sched_setaffinity(0, {0})
        megabytes = self._options.megabytes
        text = self._corpus(megabytes, self._options.document_characters)
        families = {"bert": {"objective": {"dupe_factor": 1}}, "gpt": {}, "elmo": {}}
        tokenizers = {family: self._tokenizer(family) for family in families}
        for source in (self._corpus(0.1, 2_000), text):  # the first is a warm-up
            rates = steps(source, self._folder / source.stem, families, tokenizers)
        for name, (seconds, written) in rates.items():
            print(
                f"rates: {name}: {seconds / megabytes:.3f} s/MB, {written / megabytes / 1e6:.2f}"
                " bytes per byte of text"
            )
        for family in families:
            names = ("ingestion", "cleaning", f"vocabulary, {family}", f"examples, {family}")
            total = sum(rates[name][0] for name in names) / megabytes * 1e6 / 3600
            print(f"rates: {family}: {total:,.0f} core-hours for 1 TB")

    def _corpus(self, megabytes: float, characters: int | None = None) -> pathlib.Path:
        """A file of documents with distinct ids, cut to a number of characters; None: not cut."""
        path = self._folder / f"{megabytes:g}-{characters}.jsonl"
        if not path.exists():
            size = number = 0
            texts = self._texts
            if characters:
                texts = [
                    text[begin : begin + characters]
                    for text in texts
                    for begin in range(0, len(text), characters)
                ]
            with path.open("w", encoding="utf-8") as stream:
                while size < megabytes * 1e6:
                    text = texts[number % len(texts)]
                    # The number makes the text distinct, or the document would be a duplicate.
                    text = f"{text[: int(megabytes * 1e6 - size)]}\n{number}"
                    record = {"id": f"{number}", "text": text, "source": "benchmark"}
                    stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                    size, number = size + len(text), number + 1
        return path

    def _tokenizer(self, name: str) -> pathlib.Path:
        """The folder of a family's tokenizer, which is learned at the first call."""
        if name not in self._tokenizers:
            family, config = FAMILIES[name], FAMILIES[name].config().tokenizer
            if hasattr(config, "vocabulary_size"):
                size = json.dumps({"vocabulary_size": self._options.vocabulary_size})
                config = from_json(type(config), size)
            counts: collections.Counter[str] = collections.Counter()
            splitter: Any = family.tokenizer.word_splitter(config)
            for text in self._texts:
                words, numbers = splitter.count(tf.constant([text]))
                counts.update(
                    {
                        word.decode(): int(number)
                        for word, number in zip(words.numpy(), numbers.numpy(), strict=True)
                    }
                )
            path = self._tokenizers[name] = self._folder / f"tokenizer-{name}"
            family.tokenizer.learn(counts, config).save(path)
        return self._tokenizers[name]

    def _make(
        self,
        family: str,
        text: pathlib.Path,
        model: dict[str, Any],
        flags: Sequence[str] = (),
        cores: str = "0",
        *,
        memory: bool = False,
    ) -> tuple[float, int, int]:
        """Makes examples in a process; returns its seconds, peak memory in bytes, and examples."""
        with tempfile.TemporaryDirectory(dir=self._folder) as output:
            command = [
                sys.executable, "-m", "benchmarks.make_examples", "--input", str(text),
                "--output", output, "--tokenizer", str(self._tokenizer(family)),
                "--family", family, "--model", json.dumps(model),
                *(f"--flag={flag}" for flag in flags),
            ]  # fmt: skip
            seconds, peak = measure(command, cores, memory=memory)
            summary = pathlib.Path(output, "examples", EXAMPLES_FILE).read_text()
            splits = json.loads(summary)["splits"].values()
            return seconds, peak, sum(split["examples"] for split in splits)

    def _stages(self, name: str, model: dict[str, Any], documents: Sequence[Document]) -> None:
        """Prints the seconds of each stage of a family."""
        family = FAMILIES[name]
        tokenizer = family.tokenizer.load(self._tokenizer(name))
        config: Any = from_json(family.config, json.dumps(model))
        objective = family.build_objective(config.objective, tokenizer)
        graph = GraphTokenizer(tokenizer)
        graph.ids(tf.constant(["warm up"]))
        tally: collections.Counter[str] = collections.Counter()
        serializer = Serializer(objective.feature_spec())
        path = str(self._folder / "stages.tfrecord.gz")

        def seconds_of_stages() -> dict[str, float]:
            """Makes all examples, batch by batch as ExampleBuilder does, and times the stages."""
            seconds: collections.Counter[str] = collections.Counter()
            started_at = time.perf_counter()

            def end(stage: str) -> None:
                nonlocal started_at
                seconds[stage] += time.perf_counter() - started_at
                started_at = time.perf_counter()

            tokenized = tokenize_documents(documents, objective, graph, tally)
            end("tokenize")
            with RecordWriter(path) as writer:
                for batch in objective.make_examples(tokenized, np.random.default_rng(0), tally):
                    end("make")
                    records = serializer.serialize_columns(batch)
                    end("serialize")
                    writer.write(records)
                    end("write")
            end("write")
            return dict(seconds)

        rounds = [seconds_of_stages() for _ in range(3)]
        stages = {stage: min(seconds[stage] for seconds in rounds) for stage in rounds[0]}
        times = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages.items())
        print(f"shares, {name}: {times}; ratio {sum(stages.values()) / stages['tokenize']:.1f}")


def _texts(path: pathlib.Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _peer_environment() -> pathlib.Path:
    """The Python of the peer's environment, which is created at the first call."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = cache / "polyseme" / f"peer-{PEER.replace('==', '-')}-{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {PEER} into {folder} …")
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
        version = ".".join(tf.__version__.split(".")[:2])
        for command in (
            ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [*install, f"tensorflow=={tf.__version__}", f"tf-keras=={version}.*", "setuptools<81"],
            [*install, "sentencepiece", "six"],
            [*install, "--no-deps", PEER],
        ):
            subprocess.run(command, check=True)
        (folder / "complete").touch()
    return python


if __name__ == "__main__":
    main()

"""Tests of TextExampleGen: the artifact, the log, and the messages that refuse an input."""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import pathlib

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.types import standard_artifacts

from components.config import IngestionConfig
from components.ingestion.component import TextExampleGen
from components.readers.files import files_below, select_files
from models.errors import DataRefused

GOOD = [json.dumps({"id": str(n), "text": f"Text {n}."}) for n in range(30)]


def generate(
    folder: pathlib.Path,
    pattern: pathlib.Path,
    config: IngestionConfig | None = None,
    files: list[str] | None = None,
    label: str = "2",
) -> standard_artifacts.Examples:
    files = files or [str(pattern)]
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "artifact")
    TextExampleGen.test_call(
        examples=artifact,
        span=2,
        fingerprint="c0ffee",
        config=json.dumps(dataclasses.asdict(config or IngestionConfig())),
        unkeyed=json.dumps(
            {
                "files": files,
                "pattern": str(pattern),
                "label": label,
                "quarantine": str(folder / "quarantine"),
            }
        ),
        beam_pipeline=beam.Pipeline(),
    )
    return artifact


def refusal(folder: pathlib.Path, lines: list[str], **config: float) -> DataRefused:
    (folder / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataRefused) as caught:
        generate(folder, folder / "a.jsonl", IngestionConfig(**config))  # type: ignore[arg-type]
    return caught.value


def test_fills_an_artifact_that_tfx_understands(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join([*GOOD, '{"id": "x"}']))
    with caplog.at_level(logging.INFO, "polyseme.text_example_gen"):
        artifact = generate(tmp_path, tmp_path / "a.jsonl")
    assert artifact.split_names == '["train", "test"]'
    assert artifact.span == 2
    assert artifact.get_string_custom_property("span") == "2"
    assert artifact.get_string_custom_property("span_label") == "2"
    assert artifact.get_string_custom_property("fingerprint") == "c0ffee"
    folder = pathlib.Path(artifact.uri)
    assert sorted(path.name for path in folder.iterdir()) == [
        "Split-eval",
        "Split-test",
        "Split-train",
        "ingestion.json",
        "quarantine.jsonl",
    ]
    kept = tmp_path / "quarantine" / "span-2.jsonl"
    assert kept.read_bytes() == (folder / "quarantine.jsonl").read_bytes()
    assert json.loads(kept.read_text())["reason"] == "no text: no field 'text'; there are: id"
    size = (tmp_path / "a.jsonl").stat().st_size
    assert caplog.messages == [
        f"span 2: reading {size:,} bytes in 1 file(s)",
        "span 2: documents: 29 to train on, 1 to test on; 230 characters;"
        f" 1 quarantined: see {kept}",
    ]


def test_malformed_and_empty_records_are_counted_and_kept_whatever_their_share(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ["{", '{"id": "x"}', "[]", '{"text": ""}', '{"text": " "}']
    (tmp_path / "a.jsonl").write_text("\n".join([*GOOD, *bad]))
    with caplog.at_level(logging.INFO, "polyseme.text_example_gen"):
        artifact = generate(tmp_path, tmp_path / "a.jsonl")
    summary = json.loads((pathlib.Path(artifact.uri) / "ingestion.json").read_text())
    assert (summary["quarantined"], summary["empty"]) == (5, 2)
    kept = tmp_path / "quarantine" / "span-2.jsonl"
    assert [json.loads(line)["line"] for line in kept.read_text().splitlines()] == [*range(31, 36)]
    assert caplog.messages[-1].endswith(f"3 quarantined, 2 empty: see {kept}")


def test_files_without_records_are_accepted(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "part-0.jsonl").write_text("\n".join(GOOD))
    for name in ("part-1.jsonl", "part-2.txt", "part-3.jsonl.gz", "part-4.parquet"):
        (folder / name).touch()
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "part-5.parquet")
    artifact = generate(tmp_path, folder, files=select_files(files_below(folder)).files)
    summary = json.loads((pathlib.Path(artifact.uri) / "ingestion.json").read_text())
    assert (summary["quarantined"], summary["empty"]) == (5, 5)
    assert summary["quarantined_by_reason"] == {"no record in the file": 5}
    assert sum(split["documents"] for split in summary["splits"].values()) == 30


def test_refuses_a_corpus_of_one_document(tmp_path: pathlib.Path) -> None:
    error = refusal(tmp_path, GOOD[:1])
    assert str(error) == (
        "Too few documents: 1 to train on and 0 to test on; at least 2 and 1 are needed.\n"
        f"  where: {tmp_path}/a.jsonl\n"
        "  to do: Add documents, or change ingestion.test_share (0.1)."
    )


def test_refuses_an_empty_test_split(tmp_path: pathlib.Path) -> None:
    assert refusal(tmp_path, GOOD, test_share=1e-9).what == (
        "Too few documents: 30 to train on and 0 to test on; at least 2 and 1 are needed."
    )


def test_refuses_an_input_without_any_document(tmp_path: pathlib.Path) -> None:
    assert refusal(tmp_path, ["", " "]).what == (
        f"The input holds no document.\n  {tmp_path}/a.jsonl:1 no record in the file"
    )


def test_refuses_missing_files_before_beam_starts(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataRefused, match="not a regular file"):
        generate(tmp_path, tmp_path / "absent.jsonl")


def test_reads_the_files_of_the_span_and_no_others(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / f"news-2024-05-{name}.jsonl" for name in ("01-a", "01-b", "02-a")]
    for file, lines in zip(
        files, (GOOD[:20], GOOD[20:29], ['{"text": "Of another day."}']), strict=True
    ):
        file.write_text("\n".join(lines))
    files_of_span = [str(file) for file in files[:2]]
    pattern = tmp_path / "news-{SPAN}*.jsonl"
    with caplog.at_level(logging.INFO, "polyseme.text_example_gen"):
        artifact = generate(tmp_path, pattern, files=files_of_span, label="2024-05-01")
    assert artifact.get_string_custom_property("span_label") == "2024-05-01"
    summary = json.loads((pathlib.Path(artifact.uri) / "ingestion.json").read_text())
    assert sum(split["documents"] for split in summary["splits"].values()) == 29
    assert (tmp_path / "quarantine" / "span-2024-05-01.jsonl").exists()
    assert all(message.startswith("span 2024-05-01: ") for message in caplog.messages)
    with pytest.raises(DataRefused) as caught:
        generate(tmp_path, pattern, files=[str(files[2])], label="2024-05-02")
    assert caught.value.where == f"span 2024-05-02 of {pattern}"


def test_the_refusal_of_a_text_file_says_what_separates_documents(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"Text {n}." for n in range(30)))
    with pytest.raises(DataRefused) as caught:
        generate(tmp_path, tmp_path / "a.txt")
    assert str(caught.value).endswith(
        "to do: Add documents, or change ingestion.test_share (0.1). In .txt files blank lines"
        " separate documents: 1 documents were found in 1 file(s)."
        " ingestion.document_per_file=True makes each file one document."
    )
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number}.txt").write_text(f"Text {number}.\n\nMore.")
    files = [str(path) for path in sorted((tmp_path / "in").iterdir())]
    config = IngestionConfig(document_per_file=True)
    artifact = generate(tmp_path, tmp_path / "in", config, files)
    summary = json.loads((pathlib.Path(artifact.uri) / "ingestion.json").read_text())
    splits = summary["splits"].values()
    assert sum(split["documents"] for split in splits) == 30
    assert {source for split in splits for source in split["sources"]} == {"in"}


def test_losses_are_counted_and_suspicious_text_gives_warnings(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = gzip.compress("\n".join(GOOD).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-8])
    wrapped = "A line as long as a page of a book is wide, and it\n" * 6
    (tmp_path / "wrapped.txt").write_text(f"{wrapped}\n{wrapped}ends here.")
    (tmp_path / "good.jsonl").write_text("\n".join(GOOD))
    files = [str(tmp_path / name) for name in ("cut.jsonl.gz", "good.jsonl", "wrapped.txt")]
    config = IngestionConfig(max_sources=1)
    with caplog.at_level(logging.WARNING, "polyseme.text_example_gen"):
        artifact = generate(tmp_path, tmp_path, config, files)
    sources, lines = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert sources.startswith("span 2: there are many sources: 31 documents of the rarest have")
    assert lines.startswith("span 2: the lines of 2 documents in .txt files end in the middle of")
    summary = json.loads((pathlib.Path(artifact.uri) / "ingestion.json").read_text())
    (lost,) = summary["unreadable"]
    assert (lost["file"], lost["line"]) == (files[0], 30)


def test_an_input_that_cannot_be_read_at_all_is_refused_with_the_reason(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "a.txt").write_bytes("\n\n".join(GOOD).encode("utf-16-le"))
    with pytest.raises(DataRefused, match=r"set ingestion\.encoding=utf-16-le"):
        generate(tmp_path, tmp_path / "a.txt")
    artifact = generate(tmp_path, tmp_path / "a.txt", IngestionConfig(encoding="utf-16-le"))
    assert json.loads(artifact.split_names) == ["train", "test"]

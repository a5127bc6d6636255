"""Tests of the speed of training, with a clock that the test sets."""

import pytest

from models.training.throughput import StepCost, Throughput


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_steps_before_the_start_do_not_count(clock: list[float]) -> None:
    throughput = Throughput(StepCost(lambda length: 50.0 * length, matmul_rate=1_000.0))
    throughput.add(tokens=999, positions=1_000, length=8)
    assert throughput.metrics() == {"tokens_per_second": 0.0, "matmul_utilization": 0.0}
    throughput.start()
    clock[0] += 2.0
    throughput.add(tokens=30, positions=64, length=4)
    throughput.add(tokens=10, positions=64, length=4)
    assert throughput.metrics() == {"tokens_per_second": 20.0, "matmul_utilization": 0.2}


def test_without_a_cost_there_is_no_utilization() -> None:
    assert Throughput().metrics() == {"tokens_per_second": 0.0}


def test_the_padding_share_is_of_the_steps_since_the_last_call() -> None:
    throughput = Throughput()
    throughput.add(tokens=3, positions=4, length=2)
    throughput.add(tokens=1, positions=4, length=2)
    assert throughput.take_padding_share() == 0.5
    throughput.add(tokens=3, positions=4, length=2)
    assert throughput.take_padding_share() == 0.25

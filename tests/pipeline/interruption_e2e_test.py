"""`kill -9` in each component, then the same command: the bytes are those of an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable

import ml_metadata
import numpy as np
import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE
from tests.testdata.commands import AnyCommand
from tests.testdata.small_corpus import arguments, files_below, finish, start, states, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

# In the order in which they run; resolvers only look things up.
COMPONENTS = (
    "TextExampleGen",
    "TextSchema",
    "StatisticsGen",
    "TextCleaner",
    "ExampleValidator",
    "DataGate",
    "VocabularyTrainer",
    "ExampleBuilder",
    "Trainer",
    "Evaluator",
    "ServingCheck",
    "Pusher",
)
STEPS = {"training__steps": 150, "training__log_steps": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("interruption")
    write_corpus(folder / "corpus.jsonl", range(150))
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: pathlib.Path) -> pathlib.Path:
    """A pipeline's folder after one undisturbed run."""
    printed = finish(arguments(folder / "corpus.jsonl", folder / "undisturbed", **STEPS))
    assert set(states(printed).values()) == {"done"}
    return folder / "undisturbed" / "bert_tiny"


def output(pipeline: pathlib.Path, component: str, name: str) -> pathlib.Path:
    """The folder of an output of the last run."""
    history = RunHistory(pipeline)
    artifact = history.nodes(history.run_ids()[-1])[component].output(name)
    assert artifact is not None
    return pathlib.Path(artifact.uri)


def examples(pipeline: pathlib.Path) -> dict[str, bytes]:
    return dict(files_below(output(pipeline, "ExampleBuilder", "examples")))


def weights(pipeline: pathlib.Path) -> dict[str, np.ndarray]:
    model = output(pipeline, "Trainer", "model") / "Format-Serving"
    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


def assert_same_weights(pipeline: pathlib.Path, other: pathlib.Path) -> None:
    expected, found = weights(other), weights(pipeline)
    assert expected.keys() == found.keys()
    assert len(expected) > 20
    different = [name for name in expected if not np.array_equal(expected[name], found[name])]
    assert not different


def kill_in(
    process: AnyCommand,
    component: str,
    seconds: float,
    ready: Callable[[], bool],
    how: signal.Signals = signal.SIGKILL,
) -> str:
    """Kills a run and all its processes in a component; returns what it printed until then.

    Args:
        process: the run.
        component: the component in which to kill it.
        seconds: how long after its start.
        ready: the seconds count from the moment when this returns True.
        how: the signal to send.
    """
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if re.search(rf"▸ {component} *$", line):
            break
    else:
        process.wait()
        raise AssertionError(f"{component} was never reached:\n{printed[-4000:]}")
    while not ready() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    printed += process.stdout.read()
    process.wait()
    return printed


def checkpointed(pipeline: pathlib.Path) -> bool:
    """Whether a training has written a complete checkpoint."""
    return any((pipeline / "checkpoints").glob("*/ckpt-*.index"))  # written last


def half_written_inputs(pipeline: pathlib.Path) -> list[str]:
    """Inputs of executions whose producer failed."""
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(pipeline / DATABASE)
    store = ml_metadata.MetadataStore(connection)
    ended = {
        execution.id: execution.last_known_state == mlmd.Execution.COMPLETE
        for execution in store.get_executions()
    }
    events = store.get_events_by_execution_ids(list(ended))
    whole = {
        event.artifact_id
        for event in events
        if event.type == mlmd.Event.OUTPUT and ended[event.execution_id]
    }
    return [
        f"execution {event.execution_id} read artifact {event.artifact_id}"
        for event in events
        if event.type == mlmd.Event.INPUT and event.artifact_id not in whole
    ]


def test_killed_in_each_component_the_same_command_completes(
    folder: pathlib.Path, undisturbed: pathlib.Path
) -> None:
    command = arguments(folder / "corpus.jsonl", folder / "killed", **STEPS)
    pipeline = folder / "killed" / "bert_tiny"
    history = RunHistory(undisturbed)
    took = {name: node.seconds for name, node in history.nodes(history.run_ids()[-1]).items()}
    late = []
    for component in COMPONENTS:
        # Kill in the middle of the work, well before it ended in an undisturbed run on a busy
        # machine, or at once if it is short; kill the Trainer when it has written a checkpoint.
        seconds = took[component] / 4 if took[component] > 1 else 0.0
        if component == "Trainer":
            printed = kill_in(start(command), component, 0.0, lambda: checkpointed(pipeline))
        else:
            printed = kill_in(start(command), component, seconds, lambda: True)
        if f"✓ {component} " in printed:
            late.append(component)
    assert not [component for component in late if took[component] > 1]
    assert len(late) < 3

    printed = finish(command)
    assert "blessed and pushed as version" in printed
    assert states(printed)["Trainer"] == "cached"
    assert half_written_inputs(pipeline) == []
    (version,) = (pipeline / "serving" / "bert_tiny").iterdir()
    assert (version / "saved_model.pb").is_file()

    log = "".join(path.read_text(errors="replace") for path in (pipeline / "logs").iterdir())
    resumed = re.findall(r"resumed from step (\d+) of 150", log)
    assert len(resumed) == 1
    assert 0 < int(resumed[0]) < 150
    assert examples(pipeline) == examples(undisturbed)
    assert_same_weights(pipeline, undisturbed)


def test_training_that_receives_sigterm_is_saved_and_resumed(
    folder: pathlib.Path, undisturbed: pathlib.Path
) -> None:
    command = arguments(folder / "corpus.jsonl", folder / "asked", **STEPS)
    pipeline = folder / "asked" / "bert_tiny"
    process = start(command)
    printed = kill_in(process, "Trainer", 0.0, lambda: checkpointed(pipeline), signal.SIGTERM)
    assert process.returncode == 75, printed[-6000:]
    assert "Traceback" not in printed
    saved = re.search(r"saved\s+a\s+checkpoint\s+at\s+step\s+(\d+)\s+of\s+150", printed)
    assert saved, printed[-6000:]

    assert "blessed and pushed as version" in finish(command)
    log = "".join(path.read_text(errors="replace") for path in (pipeline / "logs").iterdir())
    assert re.findall(r"resumed from step (\d+) of 150", log) == [saved[1]]
    assert_same_weights(pipeline, undisturbed)


def test_with_two_beam_workers_the_examples_are_the_same_bytes(
    folder: pathlib.Path, undisturbed: pathlib.Path
) -> None:
    source, runs = folder / "corpus.jsonl", folder / "workers"
    # No model meets this bound, so the run ends after the evaluation of a model of one step.
    one_step = {"training__steps": 1, "model__objective__min_accuracy_over_unigram": 99}
    printed = finish(arguments(source, runs, beam__workers=2, **one_step), code=4)
    assert "not blessed, so not pushed" in printed
    assert "accuracy_over_unigram is" in printed
    found, expected = examples(runs / "bert_tiny"), examples(undisturbed)
    assert found.keys() == expected.keys()
    # The file contains the configuration too, in which this run changed a bound.
    found_file, expected_file = (
        json.loads(made.pop("examples.json")) for made in (found, expected)
    )
    assert found_file["splits"] == expected_file["splits"]
    assert found == expected

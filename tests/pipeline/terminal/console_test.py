"""What reaches the console while a pipeline runs, and what only reaches the log file."""

import pathlib
import subprocess
import sys
import textwrap

_ROOT = pathlib.Path(__file__).parents[3]


def speak(tmp_path: pathlib.Path, body: str) -> tuple[str, str, int]:
    """Runs `body` inside `quiet_libraries` in a new process; returns console, log, exit code."""
    program = (
        "import logging, os, subprocess, sys, pathlib\n"
        "import absl.logging\n"
        "from pipeline.terminal.console import quiet_libraries\n"
        f"with quiet_libraries(pathlib.Path({str(tmp_path / 'run.log')!r})) as console:\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "print('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, timeout=60
    )
    return done.stdout, (tmp_path / "run.log").read_text(), done.returncode


def test_only_our_own_progress_is_seen(tmp_path: pathlib.Path) -> None:
    seen, log, code = speak(
        tmp_path,
        """
        print("python chatter")
        os.write(2, b"C++ chatter\\n")
        subprocess.run(["echo", "child chatter"])
        absl.logging.info("library news")
        logging.getLogger("polyseme.trainer").info("step 1")
        logging.getLogger("pipeline.run").error("details")
        console.print("hello")
        """,
    )
    assert code == 0
    assert seen.splitlines() == ["    step 1", "hello", "after"]
    for text in ("python chatter", "C++ chatter", "child chatter", "library news", "step 1"):
        assert text in log
    assert "details" in log


def test_control_characters_of_texts_reach_neither_the_console_nor_the_log(
    tmp_path: pathlib.Path,
) -> None:
    seen, log, _ = speak(
        tmp_path,
        r"""
        logging.getLogger("polyseme.text_cleaner").info("id \x1b[2J\u202e")
        logging.getLogger("pipeline.run").error("id %s", "\x9b31m")
        console.print("id \x1b[31m")
        print("library \x1b[32m")
        os.write(2, b"C++ \x1b[33m\r\n")
        raise ValueError("\x1b[34m")
        """,
    )
    assert seen.splitlines() == [r"    id \x1b[2J\u202e", r"id \x1b[31m"]
    for text in (r"\x1b[2J\u202e", r"\x9b31m", r"\x1b[32m", r"C++ \x1b[33m\r", r"r: \x1b[34m"):
        assert text in log
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(log)


def test_components_are_reported_as_they_start_and_end(tmp_path: pathlib.Path) -> None:
    seen, _, _ = speak(
        tmp_path,
        """
        say = absl.logging.info
        say("Component %s is running.", "Trainer")
        say("Component %s is finished.", "Trainer")
        say("Component %s is running.", "Evaluator")
        say("A cached execution %d is used.", 4)
        say("Component %s is finished.", "Evaluator")
        say("Component %s is running.", "Pusher")
        absl.logging.error("Execution %d failed.", 5)
        """,
    )
    lines = seen.splitlines()
    assert lines[0] == "▸ Trainer "
    assert lines[1].startswith("✓ Trainer 0.")
    assert lines[1].endswith(" s")
    assert lines[3].startswith("✓ Evaluator")
    assert lines[3].endswith(" s, cached")
    assert lines[5].startswith("✗ Pusher failed after")


def test_an_error_passes_and_leaves_its_traceback_in_the_log(tmp_path: pathlib.Path) -> None:
    seen, log, code = speak(tmp_path, "raise ValueError('broken')\n")
    assert code == 1
    assert seen == ""
    assert "ValueError: broken" in log


def errors_of(body: str) -> subprocess.CompletedProcess[str]:
    """Runs `body` inside `quiet_errors` in a new process."""
    program = (
        "import os, sys\n"
        "from models.errors import ConfigError\n"
        "from pipeline.terminal.console import quiet_errors\n"
        "with quiet_errors():\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "print('after', file=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, timeout=60
    )


def test_what_libraries_write_to_standard_error_is_not_seen() -> None:
    done = errors_of("os.write(2, b'chatter'); print('answer')\n")
    assert (done.stdout, done.stderr, done.returncode) == ("answer\n", "after\n", 0)


def test_it_is_seen_when_something_fails_that_is_no_error_of_ours() -> None:
    done = errors_of("os.write(2, b'the reason'); os.stat('/nowhere')\n")
    assert "the reason" in done.stderr
    assert "No such file" in done.stderr
    ours = errors_of("os.write(2, b'chat' + b'ter'); raise ConfigError('no such model')\n")
    assert "no such model" in ours.stderr
    assert "chatter" not in ours.stderr


def test_output_for_a_program_is_kept_apart_from_all_the_rest() -> None:
    program = (
        "import os, subprocess\n"
        "from pipeline.terminal.console import output_on_stderr\n"
        "with output_on_stderr():\n"
        "    print('python chatter')\n"
        "    os.write(1, b'C++ chatter\\n')\n"
        "    subprocess.run(['echo', 'child chatter'])\n"
        "print('the answer')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.stdout == "the answer\n"
    for line in ("python chatter", "C++ chatter", "child chatter"):
        assert line in done.stderr


def test_what_a_library_complains_of_as_python_ends_is_not_seen() -> None:
    program = textwrap.dedent(
        """
        from pipeline.terminal.console import quiet_imports

        class Function:
            def __init__(self, name):
                self.name = name
            def __del__(self):
                raise TypeError(self.name)

        quiet_imports()
        Function("while at work")
        kept = Function("at the end")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "while at work" in done.stderr
    assert "at the end" not in done.stderr

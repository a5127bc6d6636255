"""What reaches the console while a pipeline runs, and what only reaches the log file."""

import pathlib
import subprocess
import sys
import textwrap

_ROOT = pathlib.Path(__file__).parents[3]


def run_with_quiet_libraries(tmp_path: pathlib.Path, body: str) -> tuple[str, str, int]:
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


def test_the_console_shows_progress_only_and_the_log_everything(tmp_path: pathlib.Path) -> None:
    printed, log, code = run_with_quiet_libraries(
        tmp_path,
        """
        print("python output")
        os.write(2, b"C++ output\\n")
        subprocess.run(["echo", "child output"])
        absl.logging.info("library record")
        logging.getLogger("polyseme.trainer").info("step 1")
        logging.getLogger("pipeline.run").error("details")
        console.print("hello")
        """,
    )
    assert code == 0
    assert printed.splitlines() == ["    step 1", "hello", "after"]
    for text in ("python output", "C++ output", "child output", "library record", "step 1"):
        assert text in log
    assert "details" in log


def test_control_characters_of_texts_reach_neither_the_console_nor_the_log(
    tmp_path: pathlib.Path,
) -> None:
    printed, log, _ = run_with_quiet_libraries(
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
    assert printed.splitlines() == [r"    id \x1b[2J\u202e", r"id \x1b[31m"]
    for text in (r"\x1b[2J\u202e", r"\x9b31m", r"\x1b[32m", r"C++ \x1b[33m\r", r"r: \x1b[34m"):
        assert text in log
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(log)


def test_the_start_and_the_end_of_each_component_are_printed(tmp_path: pathlib.Path) -> None:
    printed, _, _ = run_with_quiet_libraries(
        tmp_path,
        """
        info = absl.logging.info
        info("Component %s is running.", "Trainer")
        info("Component %s is finished.", "Trainer")
        info("Component %s is running.", "Evaluator")
        info("A cached execution %d is used.", 4)
        info("Component %s is finished.", "Evaluator")
        info("Component %s is running.", "Pusher")
        absl.logging.error("Execution %d failed.", 5)
        """,
    )
    lines = printed.splitlines()
    assert lines[0] == "▸ Trainer "
    assert lines[1].startswith("✓ Trainer 0.")
    assert lines[1].endswith(" s")
    assert lines[3].startswith("✓ Evaluator")
    assert lines[3].endswith(" s, cached")
    assert lines[5].startswith("✗ Pusher failed after")


def test_an_exception_is_raised_and_its_traceback_is_in_the_log(tmp_path: pathlib.Path) -> None:
    printed, log, code = run_with_quiet_libraries(tmp_path, "raise ValueError('broken')\n")
    assert code == 1
    assert printed == ""
    assert "ValueError: broken" in log


def run_with_quiet_errors(body: str) -> subprocess.CompletedProcess[str]:
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


def test_standard_error_of_libraries_is_hidden() -> None:
    done = run_with_quiet_errors("os.write(2, b'noise'); print('answer')\n")
    assert (done.stdout, done.stderr, done.returncode) == ("answer\n", "after\n", 0)


def test_standard_error_of_libraries_is_shown_after_an_unexpected_error() -> None:
    done = run_with_quiet_errors("os.write(2, b'the reason'); os.stat('/nowhere')\n")
    assert "the reason" in done.stderr
    assert "No such file" in done.stderr
    expected = run_with_quiet_errors(
        "os.write(2, b'noi' + b'se'); raise ConfigError('no such model')\n"
    )
    assert "no such model" in expected.stderr
    assert "noise" not in expected.stderr


def test_standard_output_has_only_what_is_printed_after_the_block() -> None:
    program = (
        "import os, subprocess\n"
        "from pipeline.terminal.console import output_on_stderr\n"
        "with output_on_stderr():\n"
        "    print('python output')\n"
        "    os.write(1, b'C++ output\\n')\n"
        "    subprocess.run(['echo', 'child output'])\n"
        "print('the answer')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.stdout == "the answer\n"
    for line in ("python output", "C++ output", "child output"):
        assert line in done.stderr


def test_exceptions_of_destructors_are_hidden_when_python_exits() -> None:
    program = textwrap.dedent(
        """
        from pipeline.terminal.console import quiet_imports

        class Function:
            def __init__(self, name):
                self.name = name
            def __del__(self):
                raise TypeError(self.name)

        quiet_imports()
        Function("before the exit")
        kept = Function("during the exit")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "before the exit" in done.stderr
    assert "during the exit" not in done.stderr

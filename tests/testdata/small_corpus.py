"""A corpus from which a tiny model learns in seconds, and runs of the command line on it.

Each document has one subject, so that next sentences can be predicted. Words repeat, so that masked
words can be predicted.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from tests.testdata import commands
from tests.testdata.commands import ROOT as ROOT

SUBJECTS = (
    ("captain", "ship", "storm", "harbour", "sailed"),
    ("farmer", "field", "rain", "barn", "ploughed"),
    ("banker", "bank", "debt", "market", "lent"),
    ("teacher", "school", "lesson", "town", "taught"),
)
SENTENCES = (
    "The {0} of the {1} saw the {2} over the {3}.",
    "In the {3} the {0} {4} before the {2} came.",
    "No {1} in the {3} was lost in the {2}.",
    "Then the {0} {4} with the {1} near the {3}.",
    "All the {3} knew that the {0} {4} well.",
)
CHINESE_SUBJECTS = (
    ("船长", "货船", "风暴", "港口", "出海"),
    ("农民", "田地", "大雨", "谷仓", "耕作"),
    ("银行家", "银行", "债务", "市场", "放贷"),
    ("教师", "学校", "课程", "小镇", "上课"),
)
CHINESE_SENTENCES = (
    "{1}的{0}在{3}看见了{2}。",
    "{2}来临之前，{0}在{3}{4}。",
    "{3}里没有一座{1}毁于{2}！",
    "后来{0}带着{1}到{3}附近{4}。",
    "整个{3}都知道{0}很会{4}吗？",
)
SETTINGS = {
    "training.steps": 60,
    "training.batch_size": 16,
    "training.log_steps": 20,
    "training.optimizer.learning_rate": 0.003,
    "training.checkpoint_seconds": 0.5,
}
"""Settings with which a tiny recipe learns, and writes a checkpoint to resume from."""

ONE_LAYER = {family: {"model.backbone.num_layers": 1} for family in ("bert", "gpt")}
"""By family: settings of a smaller backbone. Most of the time of a tiny run is tracing graphs."""


def text(number: int, lang: str = "en") -> str:
    """Six to twelve sentences on one subject; the text depends on the number."""
    rng = np.random.default_rng(number)
    subjects, sentences, space = {
        "en": (SUBJECTS, SENTENCES, " "),
        "zh": (CHINESE_SUBJECTS, CHINESE_SENTENCES, ""),
    }[lang]
    words = subjects[number % len(subjects)]
    return space.join(s.format(*words) for s in rng.choice(sentences, rng.integers(6, 13)))


def record(number: int, lang: str = "en") -> str:
    """A line of JSON Lines."""
    return json.dumps(
        {"id": f"d{number}", "text": text(number, lang), "source": ("logs", "letters")[number % 2]}
    )


def write_corpus(path: pathlib.Path, numbers: range, lang: str = "en") -> pathlib.Path:
    """Writes a document for each number; returns the path."""
    path.write_text("".join(f"{record(number, lang)}\n" for number in numbers), encoding="utf-8")
    return path


def arguments(
    source: pathlib.Path | str,
    runs: pathlib.Path,
    *more: str,
    recipe: str = "bert_tiny",
    **settings: object,
) -> list[str]:
    """`run` of a recipe on a corpus; in the names of settings `__` stands for `.`."""
    chosen = SETTINGS | ONE_LAYER.get(recipe.split("_")[0], {})
    chosen |= {name.replace("__", "."): value for name, value in settings.items()}
    sets = [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
    return ["run", recipe, "--input", str(source), "--runs", str(runs), *more, *sets]


def start(command: Sequence[str], *, fresh: bool = False) -> commands.AnyCommand:
    """Starts `python -m pipeline` in a new session, see `commands.start`."""
    environment = os.environ | {"COLUMNS": "200"}
    return commands.start("pipeline", command, env=environment, new_session=True, fresh=fresh)


def finish(command: Sequence[str], code: int = 0, *, fresh: bool = False) -> str:
    """Runs `python -m pipeline`, which must exit with `code`; returns its output."""
    process = start(command, fresh=fresh)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code, output[-6000:]
    assert "Traceback" not in output, output[-6000:]
    return output


def states(output: str) -> dict[str, str]:
    """Component → state, from the table that a run prints at its end."""
    rows = re.findall(r"^(\w+) +(done|cached|failed|interrupted|not run)\b", output, re.M)
    return dict(rows)


def files_below(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Every file's path below a folder and its bytes, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()

"""The word segmenters of Chinese by name: those known here, and those that a package registers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence

from models.bert.config import SEGMENTER_GROUP, registered_segmenters
from models.errors import ConfigError

Segmenter = Callable[[str], Sequence[str]]

_FIELD = "model.objective.segmenter"


def _jieba() -> Segmenter:
    """Jieba's words; its dictionary is read anew, which takes a second.

    Jieba would keep the dictionary in the system's temporary folder, where whoever writes first
    decides what every other user's jieba reads, by `marshal`.
    """
    import jieba

    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    words: Segmenter = tokenizer.lcut
    return words


_KNOWN: Mapping[str, Callable[[], Segmenter]] = {"jieba": _jieba}


def load_segmenter(name: str) -> Segmenter:
    """The segmenter that a configuration names.

    Args:
        name: `jieba`, or an entry point of the group `SEGMENTER_GROUP` of an installed package. It
            is never taken for the name of a module: a configuration must not choose what is run.

    Returns:
        A function from a text to its words, which joined are the text.

    Raises:
        ConfigError: the name is none, or its package is not installed or does not load.
    """
    registered = registered_segmenters()
    if name not in (*_KNOWN, *registered):
        raise ConfigError(
            f"the word segmenter {name!r} cannot be used: there is none of this name",
            where=_FIELD,
            remedy=f"give one of {', '.join([*_KNOWN, *registered])}, or leave it empty to mask "
            f"characters; a package adds one as an entry point of the group {SEGMENTER_GROUP}",
        )
    try:
        found: Segmenter = _KNOWN[name]() if name in _KNOWN else registered[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the word segmenter {name!r} cannot be used: {error}",
            where=_FIELD,
            remedy="install its package (jieba: pip install jieba), name another one, or leave it "
            "empty to mask characters",
        ) from error

    def segment(text: str) -> Sequence[str]:
        words = [word for word in found(text) if word]
        if "".join(words) != text:
            raise ConfigError(
                f"the word segmenter {name!r} changes the text that it cuts",
                where=_FIELD,
                remedy=f"name one that gives every character back; it was given {text[:40]!r}",
            )
        return words

    return segment

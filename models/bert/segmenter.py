"""Word segmenters of Chinese by name: built-in ones, and those that packages register."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence

from models.bert.config import SEGMENTER_GROUP, registered_segmenters
from models.errors import ConfigError

Segmenter = Callable[[str], Sequence[str]]

_FIELD = "model.objective.segmenter"


def _jieba() -> Segmenter:
    """Jieba's segmenter; loading its dictionary takes a second.

    Jieba would cache the dictionary in the system's temporary folder and read it with `marshal`, so
    that another user who writes the file first could run code here. It gets its own folder instead.
    """
    import jieba

    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    words: Segmenter = tokenizer.lcut
    return words


_BUILT_IN: Mapping[str, Callable[[], Segmenter]] = {"jieba": _jieba}


def load_segmenter(name: str) -> Segmenter:
    """The segmenter that a configuration names.

    Args:
        name: `jieba`, or an entry point of the group `SEGMENTER_GROUP` of an installed package. It
            is never imported as a module: a configuration must not choose which code runs.

    Returns:
        A function from a text to its words; joined, the words are the text.

    Raises:
        ConfigError: there is no such segmenter, or its package is missing or cannot be imported.
    """
    registered = registered_segmenters()
    if name not in (*_BUILT_IN, *registered):
        raise ConfigError(
            f"the word segmenter {name!r} cannot be used: there is no segmenter of this name",
            where=_FIELD,
            remedy=f"give one of {', '.join([*_BUILT_IN, *registered])}, or leave it empty to mask "
            f"characters; a package adds one as an entry point of the group {SEGMENTER_GROUP}",
        )
    try:
        cut: Segmenter = _BUILT_IN[name]() if name in _BUILT_IN else registered[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the word segmenter {name!r} cannot be used: {error}",
            where=_FIELD,
            remedy="install its package (jieba: pip install jieba), give another segmenter, or "
            "leave it empty to mask characters",
        ) from error

    def segment(text: str) -> Sequence[str]:
        words = [word for word in cut(text) if word]
        if "".join(words) != text:
            raise ConfigError(
                f"the word segmenter {name!r} changes the text that it cuts",
                where=_FIELD,
                remedy="give a segmenter whose words, joined, are the text; it changed the text "
                f"that begins with {text[:40]!r}",
            )
        return words

    return segment

"""The word segmenter of Chinese: any function from a text to its words, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from models.errors import ConfigError

_FIELD = "model.objective.segmenter"


def load_segmenter(name: str) -> Callable[[str], Sequence[str]]:
    """The segmenter that a configuration names.

    Args:
        name: `module:function`, as `jieba:lcut`.

    Returns:
        A function from a text to its words, which joined are the text.

    Raises:
        ConfigError: the name is none, or the module is not installed, or has no such function.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[[str], Sequence[str]] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the word segmenter {name!r} cannot be used: {error}",
            where=_FIELD,
            remedy="install its package (jieba: pip install jieba), name another one as "
            "module:function, or leave it empty to mask characters",
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

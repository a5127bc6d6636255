"""Splits texts into words, and counts words.

Chinese and Japanese are written without spaces, so each of their characters counts as a word.
"""

import re
import unicodedata

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS = rf"[^\W_{_UNSPACED}]+"
_MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c)[0] == "M")
# Combining marks, such as the vowels of Hindi, are part of a word, but `\w` does not match them.
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:[{_MARKS}]+(?:{_LETTERS})?)*")
_CHARACTER = re.compile(f"[{_UNSPACED}]")


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def count_words(text: str) -> int:
    """The number of words between white space, and of Chinese and Japanese characters.

    Punctuation is part of a word here. This is several times as fast as `split_words`, and is for
    measuring the length of texts.
    """
    if text.isascii():
        return len(text.split())
    spaced, characters = _CHARACTER.subn(" ", text)
    return characters + len(spaced.split())

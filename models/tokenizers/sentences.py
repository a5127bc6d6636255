"""Splits English and Chinese texts into sentences, by rules.

A regular expression finds candidates, and the text around each candidate decides. The time is
linear in the length of any text.
"""

from __future__ import annotations

import re

_WIDE = "。！？｡"
_OPENING = "\"'“‘«(\\[{—–-"
_CLOSING = "\"'”’»)\\]}」』）】》〉"
# Group 1 matches (the empty string) if a sentence may begin after the mark.
_CANDIDATE = re.compile(f"[.!?…；{_WIDE}]+[{_CLOSING}]*(?:(?=\\s+(?![a-z\\s]))()|)")
_ENDS = re.compile(f"[{_WIDE}]")
_ENDS_CHINESE = re.compile(f"[…；{_WIDE}]")
_FOLLOWING = re.compile(rf"\s*[{_OPENING}]*(\w?)([\w'’]*)")
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")

_TITLES = frozenset(
    "mr mrs ms messrs mme mlle dr prof rev fr hon gov gen col maj capt cpt lt sgt cmdr adm brig "
    "pres sen rep supt st ste mt ft vs viz cf e.g i.e al".split()
)
"""Abbreviations that always precede what they belong to: never the end of a sentence."""

_NUMBERED = frozenset(
    "no nos art sec vol vols ch chap fig figs p pp par pt ed op cit approx ca c jan feb mar apr "
    "jun jul aug sep sept oct nov dec".split()
)
"""Abbreviations that are followed by a number: the end of a sentence only without a number."""

_AMBIGUOUS = frozenset(
    "etc inc ltd co corp bros jr sr esq ph.d m.d b.a m.a d.d ll.d a.m p.m a.d b.c u.s u.s.a u.k "
    "u.n d.c dept univ assn ave blvd rd".split()
)
"""Abbreviations that end a sentence only before a word that often begins one."""

_OPENERS = frozenset(
    "the a an this that these those it its he his she her we our they their you your i my there "
    "here in on at of for from with by to as if when while where since after before until under "
    "although though because but and or so yet nor now then thus however moreover nevertheless "
    "therefore all some many most no not such what who how why let each every both one two".split()
)


def is_chinese(lang: str) -> bool:
    """Whether a language code is "zh" or a variant of it ("zh-TW")."""
    return lang.lower().partition("-")[0] == "zh"


def split_sentences(text: str, lang: str) -> list[str]:
    """Splits a text into sentences.

    A line break always ends a sentence. So do 。！？ with the closing quotes and brackets after
    them, in any language, and in Chinese also ； and …. A full stop, question mark or exclamation
    mark ends a sentence if white space without a small letter follows. A full stop must also not
    belong to an abbreviation, an initial or the number of a list item.

    Args:
        text: any text.
        lang: language code; all languages but Chinese are split like English.

    Returns:
        The sentences in order, stripped and not empty. Only white space is lost.
    """
    certain_marks = _ENDS_CHINESE if is_chinese(lang) else _ENDS
    has_certain_mark = certain_marks.search(text) is not None
    sentences = []
    for line in text.splitlines():
        start = 0
        for candidate in _CANDIDATE.finditer(line):
            certain = has_certain_mark and certain_marks.search(candidate[0])
            if certain or (candidate[1] is not None and _latin_end(line, start, candidate)):
                end = candidate.end()
                sentences.append(line[start:end].strip())
                start = end
        sentences.append(line[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _latin_end(text: str, start: int, candidate: re.Match[str]) -> bool:
    """Whether an ambiguous mark ends the sentence that begins at `start`."""
    begin, end = candidate.span()
    following = _FOLLOWING.match(text, end, end + 80)
    assert following is not None  # it matches the empty string
    first, rest = following.groups()
    if first.islower():
        return False
    marks = candidate.group()
    if marks != ".":  # another mark, several marks, or a closing quote
        return "；" not in marks
    before = text[max(start, begin - 24) : begin].rsplit(None, 1)
    last = before[-1].lstrip(_OPENING) if before else ""
    if last.isdigit() and not text[start : begin - len(last)].strip():
        return False  # "1. " opens a list item
    if len(last) == 1 and last.isupper() and last != "I":
        return False  # an initial
    key = last.lower()
    if key in _TITLES:
        return False
    if key in _NUMBERED:
        return not first.isdigit()
    if key in _AMBIGUOUS or _DOTTED.fullmatch(last):
        return (first + rest).lower() in _OPENERS
    return True

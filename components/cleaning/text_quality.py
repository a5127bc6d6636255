"""Rules that drop a single document: by its length, its language and its composition.

The rules on composition, and their bounds, follow Rae et al., 2021, "Gopher", appendix A.1; shares
of repeated words are counted in words instead of characters.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from components.cleaning.word_grams import hash_ngrams
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document, count_non_letters
from components.layout import QUARANTINE_REASONS

_LANGUAGE_CHARACTERS = 1_000  # at the beginning of a text, from which its language is detected
_UNSPACED = ("zh", "ja")
_STOP_WORDS = {"en": frozenset("the be to of and that have with".split())}
_LETTER = re.compile(r"[^\W\d_]")
_BULLETS = ("•", "‣", "⁃", "*", "-", "–")
_ELLIPSES = ("...", "…")


class DropReason(NamedTuple):
    """Why a document is dropped.

    Attributes:
        reason: what dropped documents are counted by.
        detail: the value that broke the rule, in words.
    """

    reason: str
    detail: str


def broken_rule(
    document: Document, words: Sequence[str], hashes: np.ndarray, config: CleaningConfig
) -> DropReason | None:
    """The first rule of cleaning that a document breaks; None if it breaks none.

    Args:
        document: the document.
        words: its words, see `components.words.split_words`.
        hashes: hashes of the words, uint64 `[words]`.
        config: the rules and their bounds.
    """
    return next(_broken_rules(document, words, hashes, config), None)


def violated_bound(document: Document, bounds: ValidationConfig) -> DropReason | None:
    """The first bound of validation that a document violates; None if it violates none."""
    text = document.text
    if len(text) < bounds.min_characters:
        return DropReason(QUARANTINE_REASONS["min_characters"], f"{len(text):,} characters")
    share = count_non_letters(text) / len(text)
    if share > bounds.max_non_letter_share:
        reason = QUARANTINE_REASONS["max_non_letter_share"]
        return DropReason(reason, f"{share:.1%} of its characters")
    share = text.count("\ufffd") / len(text)
    if share > bounds.max_replacement_share:
        reason = QUARANTINE_REASONS["max_replacement_share"]
        return DropReason(reason, f"{share:.2%} of its characters")
    if document.lang not in bounds.languages:
        return DropReason(QUARANTINE_REASONS["languages"], document.lang)
    return None


def detect_language(text: str) -> tuple[str, float]:
    """The most likely language of a text, of 97, and its probability, from the text's beginning.

    Follows Lui and Baldwin, 2012, "langid.py".
    """
    language, probability = _identifier().classify(text[:_LANGUAGE_CHARACTERS])
    return str(language), float(probability)


@functools.cache
def _identifier():  # type: ignore[no-untyped-def]
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)


def _broken_rules(
    document: Document, words: Sequence[str], hashes: np.ndarray, config: CleaningConfig
) -> Iterator[DropReason]:
    # Composition first: if a document is not text in any language, it is the better reason.
    if config.quality:
        yield from _composition(document, words, config)
    if config.language_confidence is not None:
        language, probability = detect_language(document.text)
        if language != _primary(document.lang) and probability >= config.language_confidence:
            detail = f"{language}, not {document.lang} ({probability:.2f})"
            yield DropReason("other language", detail)
    if config.quality:
        yield from _stop_words(document, words, config)
        yield from _repetition(document.text, hashes, config)


def _composition(
    document: Document, words: Sequence[str], config: CleaningConfig
) -> Iterator[DropReason]:
    text, language = document.text, _primary(document.lang)
    if len(words) < config.min_words:
        yield DropReason("few words", f"{len(words):,}")
    if len(words) > config.max_words:
        yield DropReason("many words", f"{len(words):,}")
    if language not in _UNSPACED:
        length = sum(map(len, words)) / max(len(words), 1)
        if not config.min_mean_word_length <= length <= config.max_mean_word_length:
            yield DropReason("word length", f"{length:.1f} characters on average")
    symbols = text.count("#") + sum(map(text.count, _ELLIPSES))
    if symbols > config.max_symbol_ratio * len(words):
        yield DropReason("symbols", f"{symbols:,} for {len(words):,} words")
    lines = _lines(text)
    bullets = sum(line.startswith(_BULLETS) for line in lines) / len(lines)
    if bullets > config.max_bullet_lines:
        yield DropReason("bullets", f"{bullets:.0%} of the lines")
    ellipses = sum(line.endswith(_ELLIPSES) for line in lines) / len(lines)
    if ellipses > config.max_ellipsis_lines:
        yield DropReason("ellipses", f"{ellipses:.0%} of the lines")
    between_spaces = text.split()
    with_letters = sum(map(bool, map(_LETTER.search, between_spaces))) / len(between_spaces)
    if with_letters < config.min_alphabetic_words:
        yield DropReason("few letters", f"in {with_letters:.0%} of the words")


def _stop_words(
    document: Document, words: Sequence[str], config: CleaningConfig
) -> Iterator[DropReason]:
    stop_words = _STOP_WORDS.get(_primary(document.lang))
    if stop_words and (count := sum(map(stop_words.__contains__, words))) < config.min_stop_words:
        yield DropReason("stop words", f"{count} of them")


def _repetition(text: str, hashes: np.ndarray, config: CleaningConfig) -> Iterator[DropReason]:
    lines = _lines(text)
    repeated = 1 - len(set(lines)) / len(lines)
    if repeated > config.max_repeated_lines:
        yield DropReason("repeated lines", f"{repeated:.0%} of the lines")
    for n, factor in ((2, 1.0), (3, 0.9), (4, 0.8)):
        ngrams = hash_ngrams(hashes, n)
        distinct, counts = np.unique(ngrams, return_counts=True)
        if counts.max(initial=0) > 1:
            is_most_frequent = ngrams == distinct[counts.argmax()]
            covered = np.convolve(is_most_frequent, np.ones(n))  # words that it covers
            share = np.count_nonzero(covered) / len(hashes)
            if share > factor * config.max_repeated_words:
                detail = f"one {n}-gram makes up {share:.0%} of the words"
                yield DropReason("repeated words", detail)


def _lines(text: str) -> list[str]:
    """The lines of a text that are not blank."""
    return [line for line in map(str.strip, text.splitlines()) if line]


def _primary(lang: str) -> str:
    """The language of a code such as "zh-Hans", without script or region."""
    return lang.split("-")[0].lower()

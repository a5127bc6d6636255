"""Text generation, in graph: prompts of different lengths in one batch, with cached keys.

KerasHub's samplers take one temperature and one seed for a whole model. Here every prompt has its
own, so that a server can batch requests of several callers, and each caller gets the same answer as
for a single request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from models.gpt.backbone import GptDecoder
from models.gpt.cached_decoder import Cache, CachedDecoder
from models.gpt.inputs import after_end_of_text
from models.tokenizers.tokenizer import Tokenizer

_NUCLEUS = 1_024  # tokens that top-p sorts before it falls back to the whole vocabulary
_TIME_STEP = 16  # lengths are rounded up to a multiple of it
_MAX_TEMPERATURE = 1e30  # above it, differences of logits would become 0


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token of each prompt is drawn; each setting is `[batch]`.

    The three settings apply in this order, as in gpt-2 and transformers.

    Attributes:
        temperature: float32; logits are divided by it. 0, a negative number and NaN take the
            most probable token.
        top_k: int32; keeps this many most probable tokens, and tokens as probable as the last of
            them. 0, a negative number and a number above the vocabulary's size keep all.
        top_p: float32; keeps the fewest most probable tokens that together have this probability
            among those that `top_k` keeps (Holtzman et al., 2020), and tokens as probable as the
            last of them. 1, a greater number and NaN keep all; 0 and less keep the most probable.
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    def draw(self, logits: tf.Tensor, chance: tf.Tensor) -> tf.Tensor:
        """Draws token ids int32 `[batch]`; each row is independent of the others.

        Args:
            logits: float32 `[batch, vocabulary]`.
            chance: float64 `[batch]`, uniform in [0, 1).
        """
        most_probable = tf.argmax(logits, axis=-1, output_type=tf.int32)
        sampled = self.temperature > 0.0
        return tf.cond(
            tf.reduce_any(sampled),
            lambda: tf.where(sampled, self._sample(logits, chance), most_probable),
            lambda: most_probable,
        )

    def _sample(self, logits: tf.Tensor, chance: tf.Tensor) -> tf.Tensor:
        """Draws by inverting the cumulative distribution, in the order of the vocabulary."""
        temperature = tf.minimum(self.temperature, _MAX_TEMPERATURE)
        scale = tf.where(self.temperature > 0.0, temperature, 1.0)
        highest = tf.reduce_max(logits, axis=-1, keepdims=True)
        scaled = (logits - highest) / scale[:, tf.newaxis]
        weights = tf.cast(tf.exp(scaled), tf.float64)
        weights = tf.where(scaled >= self._lowest(scaled)[:, tf.newaxis], weights, 0.0)
        reached = tf.cumsum(weights, axis=-1)
        total = reached[:, -1]
        # Below the total, even if the product is rounded up to the total.
        target = tf.minimum(chance * total, tf.math.nextafter(total, tf.zeros_like(total)))
        below = tf.cast(reached <= target[:, tf.newaxis], tf.int32)
        return tf.reduce_sum(below, axis=-1)

    def _lowest(self, scaled: tf.Tensor) -> tf.Tensor:
        """The lowest scaled logit of each row that is kept, `[batch]`, of `[batch, vocabulary]`.

        Sorts only as many logits as the settings of the batch require.
        """
        size = tf.shape(scaled)[1]
        limited = (self.top_k > 0) & (self.top_k < size) & (self.temperature > 0.0)
        nucleus = (self.top_p < 1.0) & (self.temperature > 0.0)
        most = tf.where(limited, self.top_k, size)
        all_kept = tf.fill(tf.shape(most), scaled.dtype.min)
        total = tf.reduce_sum(tf.exp(scaled), axis=-1)

        def among(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """The lowest kept logit among the `count` largest, and whether these determine it."""
            ordered = tf.math.top_k(scaled, count).values
            rank = tf.range(count)[tf.newaxis]
            inside = rank < most[:, tf.newaxis]
            weights = tf.where(inside, tf.exp(ordered), 0.0)
            reached = tf.cumsum(weights, axis=-1)
            target = self.top_p * tf.where(limited, reached[:, -1], total)
            kept = inside & ((reached - weights < target[:, tf.newaxis]) | (rank == 0))
            kept = tf.where(nucleus[:, tf.newaxis], kept, inside)
            last = tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1) - 1
            lowest = tf.gather(ordered, last, batch_dims=1)
            decided = limited | ~nucleus | (reached[:, -1] >= target)
            return tf.where(limited | nucleus, lowest, all_kept), decided

        def sort() -> tf.Tensor:
            few = tf.where(tf.reduce_any(nucleus & ~limited), tf.minimum(size, _NUCLEUS), 1)
            largest_k = tf.reduce_max(tf.where(limited, self.top_k, 1))
            lowest, decided = among(tf.maximum(few, largest_k))
            return tf.cond(tf.reduce_all(decided), lambda: lowest, lambda: among(size)[0])

        return tf.cond(tf.reduce_any(limited | nucleus), sort, lambda: all_kept)


def generate(
    decoder: GptDecoder,
    tokenizer: Tokenizer,
    prompts: tf.RaggedTensor,
    lengths: tf.Tensor,
    sampling: Sampling,
    seeds: tf.Tensor,
    stops: tf.Tensor,
    max_length: int,
) -> Mapping[str, tf.Tensor]:
    """Continues every prompt until end-of-text, its stop, its length or the last position.

    As in training, an end-of-text token precedes each prompt. The continuation ends at the last
    position; a prompt with more tokens than positions loses its first tokens.

    Args:
        prompts: int32 `[batch, (tokens)]`.
        lengths: int32 `[batch]`, the largest number of tokens to generate; below 1: none.
        seeds: int64 `[batch]`; the same seed and prompt give the same text.
        stops: string `[batch]`; the continuation ends before the first occurrence; "" stops
            nowhere.
        max_length: positions that training has seen.

    Returns:
        All `[batch]`: `text`, string, valid UTF-8; `token_count`, int32, the stop's tokens and
        end-of-text included; `finish_reason`: "length" after the requested number of tokens,
        "stop", "end_of_text", or "context_full" if no position is left for another token;
        `prompt_tokens_cut`, int32, tokens cut off at the beginning of the prompt.
    """
    sizes = tf.cast(prompts.row_lengths(), tf.int32)
    tokens, prompt_lengths = _padded(prompts, tokenizer, max_length)
    # The last token needs no position, because no token is predicted from it.
    limits = tf.clip_by_value(lengths, 0, max_length - prompt_lengths + 1)
    # The continuation's last token is not fed back.
    last = tf.reduce_max(prompt_lengths + limits - 1)
    cached = CachedDecoder(decoder, tf.maximum(tf.shape(tokens)[1], _rounded(last)))
    extender = _Extender(tokenizer, sampling, _chances(seeds, max_length), limits, stops)

    def step(
        index: tf.Tensor, continuations: _Continuations, cache: Cache
    ) -> tuple[tf.Tensor, _Continuations, Cache]:
        # A row that has ended is still computed, at its last position; its tokens are discarded.
        positions = tf.minimum(prompt_lengths + index - 1, last - 1)
        logits, cache = cached.step(continuations.tokens, positions, cache)
        return index + 1, extender.extend(index, logits, continuations), cache

    logits, cache = cached.prefill(tokens, prompt_lengths)
    zeros, nothing = tf.zeros_like(prompt_lengths), tf.fill([tf.size(prompt_lengths)], "")
    empty = _Continuations(zeros, nothing, nothing, zeros)
    begun = extender.extend(tf.constant(0), logits, empty)
    _, continuations, _ = tf.while_loop(
        lambda index, continuations, _: extender.unfinished(index, continuations),
        step,
        (tf.constant(1), begun, cache),
        parallel_iterations=1,
    )
    reasons = continuations.reasons
    limit = tf.where(limits < lengths, "context_full", "length")
    return {
        "text": tf.strings.unicode_transcode(continuations.texts, "UTF-8", "UTF-8"),
        "token_count": continuations.counts,
        "finish_reason": tf.where(reasons == "", limit, reasons),
        "prompt_tokens_cut": tf.maximum(sizes - max_length, 0),
    }


class _Continuations(NamedTuple):
    """The continuations of a batch after some steps, each `[batch]`."""

    tokens: tf.Tensor
    """Int32, the token that was drawn last."""
    texts: tf.Tensor
    """String, the text so far."""
    reasons: tf.Tensor
    """String, "stop" or "end_of_text" if the continuation has ended so, else empty."""
    counts: tf.Tensor
    """Int32, the number of tokens so far."""


@dataclasses.dataclass(frozen=True)
class _Extender:
    """Adds tokens to continuations, and ends them.

    Attributes:
        tokenizer: turns tokens into text.
        sampling: draws the tokens.
        chances: float64 `[batch, tokens]`, the random number for each token.
        limits: int32 `[batch]`, the largest number of tokens of each continuation.
        stops: string `[batch]`, the text before which each continuation ends.
    """

    tokenizer: Tokenizer
    sampling: Sampling
    chances: tf.Tensor
    limits: tf.Tensor
    stops: tf.Tensor

    def extend(
        self, index: tf.Tensor, logits: tf.Tensor, continuations: _Continuations
    ) -> _Continuations:
        """Draws the token `index` of each continuation that has not ended."""
        _, texts, reasons, counts = continuations
        tokens = self.sampling.draw(logits, self.chances[:, index])
        new = (index < self.limits) & (reasons == "")
        ended = new & (tokens == self.tokenizer.special_ids["end_of_text"])
        more = self.tokenizer.detokenize(tf.RaggedTensor.from_tensor(tokens[:, tf.newaxis]))
        texts, stopped = _append(texts, tf.where(new & ~ended, more, ""), self.stops)
        reasons = tf.where(stopped, "stop", tf.where(ended, "end_of_text", reasons))
        return _Continuations(tokens, texts, reasons, counts + tf.cast(new, tf.int32))

    def unfinished(self, index: tf.Tensor, continuations: _Continuations) -> tf.Tensor:
        """Whether any continuation gets the token `index`."""
        return tf.reduce_any((index < self.limits) & (continuations.reasons == ""))


def _padded(
    prompts: tf.RaggedTensor, tokenizer: Tokenizer, max_length: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Prompts after end-of-text, int32 `[batch, time]`, and their lengths, int32 `[batch]`."""
    rows = _last_tokens(after_end_of_text(prompts, tokenizer.special_ids), max_length)
    lengths = tf.cast(rows.row_lengths(), tf.int32)
    time = tf.minimum(_rounded(tf.reduce_max(lengths)), max_length)
    end_of_text = tokenizer.special_ids["end_of_text"]
    tokens = rows.to_tensor(end_of_text)
    padding = [[0, 0], [0, time - tf.shape(tokens)[1]]]
    return tf.pad(tokens, padding, constant_values=end_of_text), lengths


def _chances(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Uniform random numbers by seed, float64 `[batch, count]`."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], [seed, 0], dtype=tf.float64),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.float64),
    )


def _rounded(size: tf.Tensor) -> tf.Tensor:
    """A length, at least 0, rounded up to a multiple of `_TIME_STEP`.

    oneDNN caches what it prepares for each shape, so few different shapes should occur.
    """
    return -(-tf.maximum(size, 0) // _TIME_STEP) * _TIME_STEP


def _last_tokens(ids: tf.RaggedTensor, most: int) -> tf.RaggedTensor:
    """The last tokens of each row, at most `most`."""
    limits = tf.cast(ids.row_limits(), tf.int32)
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    return tf.gather(ids.flat_values, tf.ragged.range(limits - kept, limits))


def _append(texts: tf.Tensor, more: tf.Tensor, stops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Appends to texts, and cuts them before their stop; all `[batch]`.

    A stop that was not in the text before must overlap the appended part.

    Returns:
        The texts, and whether the stop was found.
    """
    joined = tf.strings.join([texts, more])
    size, length = tf.strings.length(stops)[:, tf.newaxis], tf.strings.length(joined)
    offsets = tf.range(tf.maximum(tf.reduce_max(tf.strings.length(more)), 0))
    starts = tf.strings.length(texts)[:, tf.newaxis] - size + 1 + offsets
    inside = (starts >= 0) & (starts + size <= length[:, tf.newaxis]) & (size > 0)
    starts = tf.clip_by_value(starts, 0, length[:, tf.newaxis])
    found = tf.strings.substr(
        tf.broadcast_to(joined[:, tf.newaxis], tf.shape(starts)),
        starts,
        tf.broadcast_to(size, tf.shape(starts)),
    )
    here = inside & (found == stops[:, tf.newaxis])
    stopped = tf.reduce_any(here, axis=1)
    cut = tf.reduce_min(tf.where(here, starts, tf.int32.max), axis=1)
    return tf.strings.substr(joined, tf.zeros_like(cut), tf.minimum(cut, length)), stopped

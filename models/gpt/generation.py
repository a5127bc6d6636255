"""Text generation, in graph: prompts of different lengths in one batch, with cached keys.

KerasHub's samplers take one temperature and one seed for a whole model. Here every prompt has its
own, so that a server can batch requests of several callers, and each caller gets the same answer as
for a single request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from models.gpt.backbone import GptDecoder
from models.gpt.cached_decoder import Cache, CachedDecoder
from models.gpt.inputs import after_end_of_text
from models.tokenizers.tokenizer import Tokenizer

_NUCLEUS = 1_024  # tokens that top-p sorts before it falls back to the whole vocabulary
_TIME_STEP = 16  # lengths are rounded up to a multiple of it
_HOTTEST = 1e30  # at higher temperatures, differences of logits would become 0


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
        likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
        sampled = self.temperature > 0.0
        return tf.cond(
            tf.reduce_any(sampled),
            lambda: tf.where(sampled, self._sample(logits, chance), likeliest),
            lambda: likeliest,
        )

    def _sample(self, logits: tf.Tensor, chance: tf.Tensor) -> tf.Tensor:
        """Draws by inverting the cumulative distribution, in the order of the vocabulary."""
        scale = tf.where(self.temperature > 0.0, tf.minimum(self.temperature, _HOTTEST), 1.0)
        highest = tf.reduce_max(logits, axis=-1, keepdims=True)
        scaled = (logits - highest) / scale[:, tf.newaxis]
        weights = tf.cast(tf.exp(scaled), tf.float64)
        weights = tf.where(scaled >= self._lowest(scaled)[:, tf.newaxis], weights, 0.0)
        reached = tf.cumsum(weights, axis=-1)
        total = reached[:, -1]
        # Below the total, even where the product is rounded up to it.
        wanted = tf.minimum(chance * total, tf.math.nextafter(total, tf.zeros_like(total)))
        below = tf.cast(reached <= wanted[:, tf.newaxis], tf.int32)
        return tf.reduce_sum(below, axis=-1)

    def _lowest(self, scaled: tf.Tensor) -> tf.Tensor:
        """The lowest scaled logit of each row that is kept, `[batch]`, of `[batch, vocabulary]`.

        Sorts only as many logits as the settings of the batch require.
        """
        size = tf.shape(scaled)[1]
        some = (self.top_k > 0) & (self.top_k < size) & (self.temperature > 0.0)
        nucleus = (self.top_p < 1.0) & (self.temperature > 0.0)
        most = tf.where(some, self.top_k, size)
        all_kept = tf.fill(tf.shape(most), scaled.dtype.min)
        whole = tf.reduce_sum(tf.exp(scaled), axis=-1)

        def among(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """The lowest kept logit among the `count` largest, and whether these determine it."""
            ordered = tf.math.top_k(scaled, count).values
            rank = tf.range(count)[tf.newaxis]
            inside = rank < most[:, tf.newaxis]
            weights = tf.where(inside, tf.exp(ordered), 0.0)
            reached = tf.cumsum(weights, axis=-1)
            wanted = self.top_p * tf.where(some, reached[:, -1], whole)
            kept = inside & ((reached - weights < wanted[:, tf.newaxis]) | (rank == 0))
            kept = tf.where(nucleus[:, tf.newaxis], kept, inside)
            last = tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1) - 1
            lowest = tf.gather(ordered, last, batch_dims=1)
            decided = some | ~nucleus | (reached[:, -1] >= wanted)
            return tf.where(some | nucleus, lowest, all_kept), decided

        def sort() -> tf.Tensor:
            few = tf.where(tf.reduce_any(nucleus & ~some), tf.minimum(size, _NUCLEUS), 1)
            lowest, decided = among(tf.maximum(few, tf.reduce_max(tf.where(some, self.top_k, 1))))
            return tf.cond(tf.reduce_all(decided), lambda: lowest, lambda: among(size)[0])

        return tf.cond(tf.reduce_any(some | nucleus), sort, lambda: all_kept)


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
        lengths: int32 `[batch]`, tokens to generate, at most; below 1, none.
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
    end_of_text = tokenizer.special_ids["end_of_text"]
    sizes = tf.cast(prompts.row_lengths(), tf.int32)
    prompts = _last_tokens(after_end_of_text(prompts, tokenizer.special_ids), max_length)
    first = tf.cast(prompts.row_lengths(), tf.int32)
    # The last token needs no position, because no token is predicted from it.
    counts_at_most = tf.clip_by_value(lengths, 0, max_length - first + 1)
    time = tf.minimum(_rounded(tf.reduce_max(first)), max_length)
    tokens = prompts.to_tensor(end_of_text)
    room = [[0, 0], [0, time - tf.shape(tokens)[1]]]
    tokens = tf.pad(tokens, room, constant_values=end_of_text)
    # The continuation's last token is not fed back.
    last = tf.reduce_max(first + counts_at_most - 1)
    cached = CachedDecoder(decoder, tf.maximum(time, _rounded(last)))
    chances = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([max_length], [seed, 0], dtype=tf.float64),
        seeds,
        fn_output_signature=tf.TensorSpec([max_length], tf.float64),
    )

    def extend(
        index: tf.Tensor,
        logits: tf.Tensor,
        texts: tf.Tensor,
        reasons: tf.Tensor,
        counts: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Draws the token `index` of each continuation that has not ended."""
        token = sampling.draw(logits, chances[:, index])
        new = (index < counts_at_most) & (reasons == "")
        ended = new & (token == end_of_text)
        spelled = tokenizer.detokenize(tf.RaggedTensor.from_tensor(token[:, tf.newaxis]))
        texts, stopped = _append(texts, tf.where(new & ~ended, spelled, ""), stops)
        reasons = tf.where(stopped, "stop", tf.where(ended, "end_of_text", reasons))
        return token, texts, reasons, counts + tf.cast(new, tf.int32)

    def step(
        index: tf.Tensor,
        token: tf.Tensor,
        texts: tf.Tensor,
        reasons: tf.Tensor,
        counts: tf.Tensor,
        cache: Cache,
    ) -> tuple:
        # A row that has ended is still computed, at its last position; its tokens are discarded.
        positions = tf.minimum(first + index - 1, last - 1)
        logits, cache = cached.step(token, positions, cache)
        return index + 1, *extend(index, logits, texts, reasons, counts), cache

    def unfinished(
        index: tf.Tensor, token: tf.Tensor, texts: tf.Tensor, reasons: tf.Tensor, *_: object
    ) -> tf.Tensor:
        return tf.reduce_any((index < counts_at_most) & (reasons == ""))

    logits, cache = cached.prefill(tokens, first)
    nothing = tf.fill([tf.size(first)], "")
    begun = extend(tf.constant(0), logits, nothing, nothing, tf.zeros_like(first))
    _, _, texts, reasons, counts, _ = tf.while_loop(
        unfinished, step, (tf.constant(1), *begun, cache), parallel_iterations=1
    )
    limit = tf.where(counts_at_most < lengths, "context_full", "length")
    return {
        "text": tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8"),
        "token_count": counts,
        "finish_reason": tf.where(reasons == "", limit, reasons),
        "prompt_tokens_cut": tf.maximum(sizes - max_length, 0),
    }


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

"""Continuations of prompts, in graph: many prompts of different lengths in one batch, cached keys.

KerasHub's samplers take one temperature and one seed for a whole model; here every prompt brings
its own, so that a server may put requests of several callers into one batch and each gets what it
would have got alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from models.gpt.backbone import GptDecoder
from models.tokenizers.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn, for every prompt its own, all `[batch]`.

    Attributes:
        temperature: float32; logits are divided by it, and 0 takes the likeliest token.
        top_k: int32; only so many of the likeliest tokens, 0 for all.
        top_p: float32; only the fewest of the likeliest tokens that together have this
            probability (Holtzman et al., 2020), 1 for all.
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor

    def draw(self, logits: tf.Tensor, chance: tf.Tensor) -> tf.Tensor:
        """Token ids int32 `[batch]`.

        Args:
            logits: float32 `[batch, vocabulary]`.
            chance: float32 `[batch]`, uniform in [0, 1).
        """
        size = tf.shape(logits)[1]
        ordered, ids = tf.math.top_k(logits, size)
        greedy = self.temperature <= 0.0
        scale = tf.where(greedy, 1.0, self.temperature)[:, tf.newaxis]
        probabilities = tf.nn.softmax(ordered / scale)
        before = tf.cumsum(probabilities, axis=1, exclusive=True)
        k = tf.where(self.top_k > 0, self.top_k, size)
        rank = tf.range(size)[tf.newaxis]
        # The likeliest is always kept, whatever top_p.
        kept = (rank < k[:, tf.newaxis]) & ((before < self.top_p[:, tf.newaxis]) | (rank == 0))
        reached = tf.cumsum(tf.where(kept, probabilities, 0.0), axis=1)
        wanted = chance[:, tf.newaxis] * reached[:, -1:]
        place = tf.reduce_sum(tf.cast((reached <= wanted) & kept, tf.int32), axis=1)
        last = tf.reduce_sum(tf.cast(kept, tf.int32), axis=1) - 1
        place = tf.where(greedy, 0, tf.minimum(place, last))
        return tf.gather(ids, place, batch_dims=1)


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
    """Continues every prompt until end-of-text, its stop or its length.

    Prompt and continuation together have `max_length` tokens at most: of a longer prompt the first
    ones are left out, and a longer continuation ends there.

    Args:
        prompts: int32 `[batch, (tokens)]`, none empty.
        lengths: int32 `[batch]`, tokens to generate at most.
        seeds: int64 `[batch]`; the same seed and prompt give the same text.
        stops: string `[batch]`; the continuation ends before the first occurrence, "" for none.
        max_length: positions that training has seen.

    Returns:
        All `[batch]`: `text`, string, valid UTF-8; `token_count`, int32, the stop's tokens and
        end-of-text included; `finish_reason`, "length", "stop" or "end_of_text".
    """
    end_of_text = tokenizer.special_ids["end_of_text"]
    lengths = tf.clip_by_value(lengths, 0, max_length - 1)
    prompts = _last_tokens(prompts, max_length - lengths)
    first = tf.cast(prompts.row_lengths(), tf.int32)
    after = first + lengths
    width = tf.maximum(tf.reduce_max(after), 1)  # an empty batch has no maximum
    tokens = prompts.to_tensor(end_of_text)
    room = [[0, 0], [0, width - tf.shape(tokens)[1]]]
    tokens = tf.pad(tokens, room, constant_values=end_of_text)
    chances = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([max_length], [seed, 0]),
        seeds,
        fn_output_signature=tf.TensorSpec([max_length], tf.float32),
    )
    shortest = tf.minimum(tf.reduce_min(first), width)
    batch = tf.shape(tokens)[0]
    states, cache = decoder.extend(
        tokens[:, :shortest], tf.constant(0), decoder.empty_cache(batch, width)
    )

    def spell(token: tf.Tensor) -> tf.Tensor:
        return tokenizer.detokenize(tf.RaggedTensor.from_tensor(token[:, tf.newaxis]))

    def step(
        index: tf.Tensor,
        logits: tf.Tensor,
        cache: list[tf.Tensor],
        texts: tf.Tensor,
        reasons: tf.Tensor,
        counts: tf.Tensor,
    ) -> tuple:
        drawn_before = tf.clip_by_value(index - first, 0, max_length - 1)
        chance = tf.gather(chances, drawn_before, batch_dims=1)
        drawn = sampling.draw(logits, chance)
        token = tf.where(index < first, tokens[:, tf.minimum(index, width - 1)], drawn)
        new = (index >= first) & (index < after) & (reasons == "")
        ended = new & (token == end_of_text)
        more = tf.where(new & ~ended, spell(token), "")
        texts, stopped = _append(texts, more, stops)
        counts += tf.cast(new, tf.int32)
        reasons = tf.where(stopped, "stop", tf.where(ended, "end_of_text", reasons))
        states, cache = decoder.extend(token[:, tf.newaxis], index, cache)
        return index + 1, decoder.logits(states[:, -1]), cache, texts, reasons, counts

    def goes_on(index: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        reasons = state[-2]
        return tf.reduce_any((index < after) & (reasons == ""))

    _, _, _, texts, reasons, counts = tf.while_loop(
        goes_on,
        step,
        (
            shortest,
            decoder.logits(states[:, -1]),
            cache,
            tf.fill([batch], ""),
            tf.fill([batch], ""),
            tf.zeros([batch], tf.int32),
        ),
    )
    return {
        "text": tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8"),
        "token_count": counts,
        "finish_reason": tf.where(reasons == "", "length", reasons),
    }


def _last_tokens(ids: tf.RaggedTensor, most: tf.Tensor) -> tf.RaggedTensor:
    """The last tokens of each row, `most` `[batch]` of them at most."""
    limits = tf.cast(ids.row_limits(), tf.int32)
    kept = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), most)
    return tf.gather(ids.flat_values, tf.ragged.range(limits - kept, limits))


def _append(texts: tf.Tensor, more: tf.Tensor, stops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Texts with more at the end, cut before their stop, and whether it was found, all `[batch]`.

    Only where the new end takes part can a stop be that was not there before.
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

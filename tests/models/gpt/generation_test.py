"""Tests of generating continuations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gpt.backbone import build_backbone
from models.gpt.generation import Sampling, _append
from models.gpt.objective import GptObjective
from models.gpt.pretraining import GptPretraining
from models.gpt.serving import make_signatures
from tests.testdata.little_gpt import CONFIG, tokenizer

WORDS = tokenizer()
LENGTH, END = 24, 299
PROMPTS = ["The river", "", "Rain and wind fell at the bank of", "Our ships sailed past the bank."]


@pytest.fixture(scope="module")
def model() -> GptPretraining:
    keras.utils.set_random_seed(0)
    made = GptObjective(CONFIG.objective, WORDS).build_model(build_backbone(CONFIG.backbone, WORDS))
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


@pytest.fixture(scope="module")
def generate(model):
    signature = make_signatures(model, WORDS, LENGTH)["generate"]

    def call(prompts, *, length=8, temperature=1.0, top_k=0, top_p=1.0, seed=0, stop=""):
        columns = (
            (prompts, tf.string),
            (length, tf.int32),
            (temperature, tf.float32),
            (top_k, tf.int32),
            (top_p, tf.float32),
            (seed, tf.int64),
            (stop, tf.string),
        )
        outputs = signature(
            *(
                tf.constant(value if isinstance(value, list) else [value] * len(prompts), dtype)
                for value, dtype in columns
            )
        )
        return {name: value.numpy().tolist() for name, value in outputs.items()}

    return call


def greedy(model, prompt: str, length: int) -> tuple[str, int, str]:
    """Without a cache and one token at a time: text, tokens and the reason to end."""
    ids = [END, *WORDS.tokenize(tf.constant([prompt]))[0].numpy().tolist()][-LENGTH:]
    table = np.asarray(model.backbone.decoder.token_embedding.embeddings)
    first = len(ids)
    while len(ids) - first < min(length, LENGTH - first + 1):
        row = np.array([ids], np.int32)
        states = model.backbone(
            {
                "token_ids": row,
                "padding_mask": np.ones_like(row),
                "position_ids": np.arange(len(ids), dtype=np.int32)[None],
            }
        )["sequence_output"]
        ids.append(int((np.asarray(states)[0, -1] @ table.T).argmax()))
        if ids[-1] == END:
            break
    text = b"".join(WORDS.token_bytes[i] for i in ids[first:]).decode("utf-8", "replace")
    limit = "length" if len(ids) - first == length else "context_full"
    return text, len(ids) - first, "end_of_text" if ids[-1] == END else limit


def test_greedy_continuations_equal_those_without_a_cache(model, generate) -> None:
    found = generate(PROMPTS, length=[8, 5, 11, 0], temperature=0.0)
    rows = zip(found["text"], found["token_count"], found["finish_reason"], strict=True)
    for prompt, length, (text, count, reason) in zip(PROMPTS, [8, 5, 11, 0], rows, strict=True):
        expected = greedy(model, prompt, length) if length else ("", 0, "length")
        assert (text.decode(), count, reason.decode()) == expected


def test_a_continuation_does_not_depend_on_its_batch(generate) -> None:
    settings = {"temperature": [0.7, 1.0, 1.3, 0.9], "top_k": [0, 5, 40, 0], "seed": [3, 1, 4, 1]}
    together = generate(PROMPTS, top_p=[1.0, 0.9, 1.0, 0.5], **settings)
    for row, prompt in enumerate(PROMPTS):
        alone = generate(
            [prompt],
            top_p=[1.0, 0.9, 1.0, 0.5][row],
            **{name: values[row] for name, values in settings.items()},
        )
        assert {name: value[0] for name, value in alone.items()} == {
            name: value[row] for name, value in together.items()
        }


def test_a_thousand_prompts_can_share_a_batch(generate) -> None:
    rng = np.random.default_rng(5)
    words = "The river bank rose and our ships sailed past in spring rain".split()
    prompts = [" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(1_000)]
    seeds = rng.integers(0, 1_000, 1_000).tolist()
    together = generate(prompts, length=6, seed=seeds)
    assert {len(set(map(len, prompts))) > 20, len(set(together["text"])) > 500} == {True}
    for row in rng.choice(1_000, 12, replace=False):
        alone = generate([prompts[row]], length=6, seed=seeds[row])
        assert alone["text"] == [together["text"][row]]


def test_the_seed_determines_the_text(generate) -> None:
    texts = [generate(["The river"], seed=seed, length=12)["text"][0] for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_the_most_probable_token_is_taken_if_the_settings_leave_no_other(generate) -> None:
    expected = generate(["The river"], temperature=0.0)["text"]
    assert generate(["The river"], top_k=1, seed=5)["text"] == expected
    assert generate(["The river"], top_p=0.0, seed=6)["text"] == expected
    assert generate(["The river"], temperature=1e-4, seed=7)["text"] == expected


def test_a_continuation_ends_before_its_stop(generate) -> None:
    whole = generate(["The river"], temperature=0.0, length=12)["text"][0]
    stop = whole[4:7]
    found = generate(
        ["The river"] * 2, temperature=0.0, length=12, stop=[stop.decode("latin-1"), ""]
    )
    assert found["text"] == [whole[: whole.index(stop)], whole]
    assert found["finish_reason"][0] == b"stop"
    assert found["token_count"][0] < 12


def test_a_long_continuation_removes_no_tokens_of_the_prompt(model, generate) -> None:
    """Each prompt is continued to the last position at most."""
    found = generate(PROMPTS, temperature=0.0, length=[LENGTH - 1, LENGTH, 99, 2**31 - 1])
    for row, prompt in enumerate(PROMPTS):
        expected = greedy(model, prompt, [LENGTH - 1, LENGTH, 99, 2**31 - 1][row])
        assert (
            found["text"][row].decode(),
            found["token_count"][row],
            found["finish_reason"][row].decode(),
        ) == expected
    assert "context_full" in {greedy(model, prompt, 99)[2] for prompt in PROMPTS}
    assert found["prompt_tokens_cut"] == [0] * 4


def test_only_a_prompt_with_more_tokens_than_positions_is_cut_and_reported(model, generate) -> None:
    prompts = ["#" * count for count in range(1, 40)]  # a token each
    found = generate(prompts, temperature=0.0, length=6)
    sizes = [len(ids) for ids in WORDS.tokenize(tf.constant(prompts))]
    assert {LENGTH - 1, LENGTH, LENGTH + 1} <= set(sizes)
    assert found["prompt_tokens_cut"] == [max(0, size - LENGTH) for size in sizes]
    for row, prompt in enumerate(prompts):
        text, count, reason = greedy(model, prompt, 6)
        assert (found["text"][row].decode(), found["token_count"][row]) == (text, count)
        assert found["finish_reason"][row].decode() == reason


def test_an_empty_batch_gives_empty_outputs(generate) -> None:
    assert generate([]) == {
        "text": [], "token_count": [], "finish_reason": [], "prompt_tokens_cut": [],
    }  # fmt: skip


def drawn(probabilities: list[float], *, temperature=1.0, top_k=0, top_p=1.0) -> np.ndarray:
    """Share of each token over evenly spread chances."""
    count = 10_000
    sampling = Sampling(
        tf.fill([count], float(temperature)),
        tf.fill([count], top_k),
        tf.fill([count], float(top_p)),
    )
    logits = tf.repeat(tf.math.log([probabilities]), count, axis=0)
    ids = sampling.draw(logits, tf.range(count, dtype=tf.float64) / count)
    return np.bincount(ids, minlength=len(probabilities)) / count


def test_tokens_are_drawn_with_their_probabilities() -> None:
    p = [0.1, 0.4, 0.2, 0.3]
    np.testing.assert_allclose(drawn(p), p, atol=2e-4)
    np.testing.assert_allclose(drawn(p, temperature=0.0), [0, 1, 0, 0])
    squares = np.square(p) / np.square(p).sum()
    np.testing.assert_allclose(drawn(p, temperature=0.5), squares, atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_k=2), [0, 4 / 7, 0, 3 / 7], atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_p=0.75), [0, 4 / 9, 2 / 9, 3 / 9], atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_p=0.75, top_k=2), [0, 4 / 7, 0, 3 / 7], atol=2e-4)


def expected_shares(logits: np.ndarray, temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """Probabilities after temperature, then top-k, then top-p among what is left."""
    order = np.argsort(-logits, kind="stable")
    scaled = (logits[order] / temperature).astype(np.float64)
    p = np.exp(scaled - scaled.max())
    if top_k:
        p[top_k:] = 0.0
    p /= p.sum()
    if top_p < 1.0:
        p[1:][np.cumsum(p)[:-1] >= top_p] = 0.0
    shares = np.zeros(len(p))
    shares[order] = p / p.sum()
    return shares


SETTINGS = [
    (1.0, 0, 1.0), (0.7, 0, 0.9), (1.3, 3, 1.0), (1.0, 5, 0.6), (2.0, 7, 0.5), (1.0, 1, 0.9),
    (0.5, 0, 1e-6), (1.0, 2_999, 0.99), (1.0, 0, 0.99),
]  # fmt: skip


def sampling_of(settings: list[tuple[float, int, float]]) -> Sampling:
    temperature, top_k, top_p = zip(*settings, strict=True)
    return Sampling(
        tf.constant(temperature, tf.float32),
        tf.constant(top_k, tf.int32),
        tf.constant(top_p, tf.float32),
    )


# The nucleus of 3,000 about equally likely tokens has more than the 1,024 sorted first.
@pytest.mark.parametrize(("size", "spread"), [(7, 2.0), (3_000, 3.0), (3_000, 0.3)])
def test_temperature_top_k_and_top_p_apply_in_this_order(size, spread) -> None:
    rng = np.random.default_rng(size)
    logits = rng.normal(scale=spread, size=size).astype(np.float32)
    chances = (np.arange(256) + 0.5) / 256
    for setting in SETTINGS:
        found = sampling_of([setting] * 256).draw(
            tf.constant(np.tile(logits, (256, 1))), tf.constant(chances)
        )
        expected = np.searchsorted(np.cumsum(expected_shares(logits, *setting)), chances)
        np.testing.assert_array_equal(found, expected, str(setting))


def test_a_draw_does_not_depend_on_the_other_rows() -> None:
    rng = np.random.default_rng(8)
    logits = rng.normal(size=(len(SETTINGS), 3_000)).astype(np.float32)
    chances = rng.random(len(SETTINGS))
    together = sampling_of(SETTINGS).draw(tf.constant(logits), tf.constant(chances))
    for row, setting in enumerate(SETTINGS):
        part = slice(row, row + 1)
        alone = sampling_of([setting]).draw(tf.constant(logits[part]), tf.constant(chances[part]))
        assert int(alone[0]) == int(together[row])


@pytest.mark.parametrize(
    ("settings", "sorted_counts"),
    [
        ([(0.0, 0, 1.0), (0.0, 40, 0.5)], []),
        ([(0.8, 0, 1.0), (1.0, 0, 1.0)], []),
        ([(0.8, 40, 1.0), (0.0, 0, 0.5), (1.0, 7, 0.9)], [40]),
        ([(0.8, 0, 0.1)], [1_024]),
        ([(0.8, 0, 0.999)], [1_024, 5_000]),
    ],
)
def test_only_as_many_logits_are_sorted_as_the_settings_require(
    settings, sorted_counts, monkeypatch
) -> None:
    counts, top_k = [], tf.math.top_k

    def counted(values, k):
        counts.append(int(k))
        return top_k(values, k)

    monkeypatch.setattr(tf.math, "top_k", counted)
    rng = np.random.default_rng(2)
    logits = tf.constant(rng.normal(size=(len(settings), 5_000)), tf.float32)
    sampling_of(settings).draw(logits, tf.fill([len(settings)], tf.constant(0.5, tf.float64)))
    assert counts == sorted_counts


@pytest.mark.parametrize(
    ("setting", "like"),
    [
        ((-1.0, 0, 1.0), (0.0, 0, 1.0)),
        ((float("nan"), 0, 1.0), (0.0, 0, 1.0)),
        ((1e-42, 0, 1.0), (0.0, 0, 1.0)),
        ((float("inf"), 2, 1.0), (1e6, 2, 1.0)),
        ((1.0, -3, 1.0), (1.0, 0, 1.0)),
        ((1.0, 2**31 - 1, 1.0), (1.0, 0, 1.0)),
        ((1.0, 0, float("nan")), (1.0, 0, 1.0)),
        ((1.0, 0, 7.0), (1.0, 0, 1.0)),
        ((1.0, 0, -0.5), (0.0, 0, 1.0)),
    ],
)
def test_settings_out_of_range_have_the_documented_effect(setting, like) -> None:
    logits = tf.tile(tf.constant([[0.5, 3.0, -1.0, 2.0]]), [64, 1])
    chances = (tf.range(64, dtype=tf.float64) + 0.5) / 64
    found, expected = (sampling_of([each] * 64).draw(logits, chances) for each in (setting, like))
    np.testing.assert_array_equal(found, expected)


def test_the_last_possible_token_can_be_drawn_and_none_after_it() -> None:
    logits = tf.constant([[0.0, 0.0, -200.0]])
    chance = tf.constant([np.nextafter(1.0, 0.0)])
    assert sampling_of([(1.0, 0, 1.0)]).draw(logits, chance).numpy() == [1]


def test_no_operation_is_compiled_for_each_shape(model) -> None:
    """XLA's operations are, and TensorFlow keeps every program."""
    for name, signature in make_signatures(model, WORDS, LENGTH).items():
        graph = signature.get_concrete_function().graph.as_graph_def()
        bodies = [graph.node, *(function.node_def for function in graph.library.function)]
        assert not {node.op for body in bodies for node in body if "Xla" in node.op}, name


@pytest.mark.parametrize(
    ("text", "more", "stop", "expected", "stopped"),
    [
        ("ab", "cd", "", "abcd", False),
        ("ab", "cd", "bc", "a", True),
        ("ab", "cd", "d", "abc", True),
        ("ab", "cd", "x", "abcd", False),
        ("", "aaaa", "aa", "", True),
        ("a\n", "\nb", "\n\n", "a", True),
        ("a", "", "a", "a", False),
        ("a", "b", "a longer stop", "ab", False),
    ],
)
def test_the_text_is_cut_before_the_first_stop(text, more, stop, expected, stopped) -> None:
    found, where = _append(*(tf.constant([value, "z"]) for value in (text, more, stop)))
    assert (found[0].numpy().decode(), bool(where[0])) == (expected, stopped)

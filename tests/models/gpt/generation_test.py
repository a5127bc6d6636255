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
                tf.constant(given if isinstance(given, list) else [given] * len(prompts), dtype)
                for given, dtype in columns
            )
        )
        return {name: value.numpy().tolist() for name, value in outputs.items()}

    return call


def greedy(model, prompt: str, length: int) -> tuple[str, int, str]:
    """Without a cache and one token at a time: text, tokens and the reason to end."""
    ids = [END, *WORDS.tokenize(tf.constant([prompt]))[0].numpy().tolist()]
    ids = ids[-(LENGTH - length) :]
    table = np.asarray(model.backbone.decoder.token_embedding.embeddings)
    first = len(ids)
    while len(ids) - first < length:
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
    return text, len(ids) - first, "end_of_text" if ids[-1] == END else "length"


def test_greedy_continuations_are_those_without_a_cache(model, generate) -> None:
    found = generate(PROMPTS, length=[8, 5, 11, 0], temperature=0.0)
    rows = zip(found["text"], found["token_count"], found["finish_reason"], strict=True)
    for prompt, length, (text, count, reason) in zip(PROMPTS, [8, 5, 11, 0], rows, strict=True):
        expected = greedy(model, prompt, length) if length else ("", 0, "length")
        assert (text.decode(), count, reason.decode()) == expected


def test_a_prompt_gets_alone_what_it_gets_among_others(generate) -> None:
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


def test_a_thousand_prompts_share_a_batch(generate) -> None:
    rng = np.random.default_rng(5)
    words = "The river bank rose and our ships sailed past in spring rain".split()
    prompts = [" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(1_000)]
    seeds = rng.integers(0, 1_000, 1_000).tolist()
    together = generate(prompts, length=6, seed=seeds)
    assert {len(set(map(len, prompts))) > 20, len(set(together["text"])) > 500} == {True}
    for row in rng.choice(1_000, 12, replace=False):
        alone = generate([prompts[row]], length=6, seed=seeds[row])
        assert alone["text"] == [together["text"][row]]


def test_the_seed_decides(generate) -> None:
    texts = [generate(["The river"], seed=seed, length=12)["text"][0] for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_the_likeliest_token_is_taken_where_no_other_is_left(generate) -> None:
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


def test_a_prompt_longer_than_the_context_keeps_its_end(model, generate) -> None:
    long = "We count the money of a bank, not of a river. " * 4
    found = generate([long, "The"], temperature=0.0, length=6)
    assert found["text"][0].decode() == greedy(model, long, 6)[0]
    assert generate([long], temperature=0.0, length=99)["token_count"][0] <= LENGTH - 1


def test_an_empty_batch_has_an_empty_answer(generate) -> None:
    assert generate([]) == {"text": [], "token_count": [], "finish_reason": []}


def drawn(probabilities: list[float], *, temperature=1.0, top_k=0, top_p=1.0) -> np.ndarray:
    """Share of each token over evenly spread chances."""
    count = 10_000
    sampling = Sampling(
        tf.fill([count], float(temperature)),
        tf.fill([count], top_k),
        tf.fill([count], float(top_p)),
    )
    logits = tf.repeat(tf.math.log([probabilities]), count, axis=0)
    ids = sampling.draw(logits, tf.range(count, dtype=tf.float32) / count)
    return np.bincount(ids, minlength=len(probabilities)) / count


def test_tokens_are_drawn_by_their_probability() -> None:
    p = [0.1, 0.4, 0.2, 0.3]
    np.testing.assert_allclose(drawn(p), p, atol=2e-4)
    np.testing.assert_allclose(drawn(p, temperature=0.0), [0, 1, 0, 0])
    squares = np.square(p) / np.square(p).sum()
    np.testing.assert_allclose(drawn(p, temperature=0.5), squares, atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_k=2), [0, 4 / 7, 0, 3 / 7], atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_p=0.75), [0, 4 / 9, 2 / 9, 3 / 9], atol=2e-4)
    np.testing.assert_allclose(drawn(p, top_p=0.75, top_k=2), [0, 4 / 7, 0, 3 / 7], atol=2e-4)


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

"""Tests of byte-level BPE in graph against the published algorithm and tiktoken."""

import collections
import gzip
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import tensorflow as tf
import tiktoken
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.byte_bpe_files import BYTE_LETTERS, BytePairs
from models.tokenizers.config import ByteBpeConfig

PATTERN = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's own
)
OWN_TEXT = """
The bank of the river isn't the bank that we'll rob; they're banks, and I'd know.

\tIndentation:  two spaces,   three, \u3000\xa0 and wide ones.  \r\n\r\n
Numbers: 1990, 1990.50, 2,000,000 and ٣٤٥ — "quotes" ‘’ “” … naïve café cafe\u0301 😀😀 👩\u200d👩
银行在河边，河边有银行。銀行在河邊。 <|endoftext|> ''' 's 'S !!!??? --- ======
"""
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40) | st.text(
    st.sampled_from(
        "     \n\n\t\r\v\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
        "''’sStTmMdDlLrReEvVthanbk é\u0301银行中İßﬁ\u1112\u1161"
        "0123456789٣²Ⅷ½!?.,-=<|>😀👩\u200d\ufe0f\0\x1c\x7f\u200b\ufeff\ufffd\ufffe\U0010ffff"
    ),
    max_size=60,
)
NO_DATA = pytest.mark.skipif(
    "POLYSEME_DATA" not in os.environ,
    reason="POLYSEME_DATA is not set: no public vocabularies and corpora to compare on",
)


@pytest.fixture(scope="module")
def learned() -> ByteBpeTokenizer:
    config = ByteBpeConfig(vocabulary_size=500)
    splitter = ByteBpeTokenizer.word_splitter(config)
    words, counts = splitter.count(tf.constant([OWN_TEXT] * 3))
    return ByteBpeTokenizer.learn(
        {w.decode(): c for w, c in zip(words.numpy(), counts.numpy().tolist(), strict=True)}, config
    )


@pytest.fixture(scope="module")
def gpt2() -> ByteBpeTokenizer:
    path = pathlib.Path(os.environ["POLYSEME_DATA"], "vocabularies", "gpt2-encoder.json")
    return ByteBpeTokenizer.import_vocabulary(path, ByteBpeConfig())


@pytest.fixture(scope="module", params=["learned", pytest.param("gpt2", marks=NO_DATA)])
def tokenizer(request) -> ByteBpeTokenizer:
    return request.getfixturevalue(request.param)


def published(tokenizer: ByteBpeTokenizer) -> tiktoken.Encoding:
    """The published algorithm with the same vocabulary, whose ranks are its ids."""
    ranks = {entry: number for number, entry in enumerate(tokenizer.token_bytes) if entry}
    special = {"<|endoftext|>": len(ranks)}
    return tiktoken.Encoding("same", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


@pytest.fixture(scope="module")
def encoding(tokenizer) -> tiktoken.Encoding:
    return published(tokenizer)


def entries(tokenizer: ByteBpeTokenizer, text: str | bytes) -> list[str]:
    found = tokenizer.tokens(tokenizer.tokenize(tf.constant([text])))
    return [entry.decode() for entry in found[0].numpy()]


@NO_DATA
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello, world!", [15496, 11, 995, 0]),
        ("Hello  world\n\n  a \t b  ", [15496, 220, 995, 628, 220, 257, 220, 197, 275, 220, 220]),
        ("中文測試", [40792, 23877, 229, 162, 116, 105, 164, 102, 99]),
        ("<|endoftext|>", [27, 91, 437, 1659, 5239, 91, 29]),
    ],
)
def test_gpt2s_ids(gpt2, text, ids):
    assert gpt2.tokenize(tf.constant([text])).to_list() == [ids]
    assert gpt2.special_ids == {"end_of_text": 50_256}


def test_entries_are_bytes_as_printable_characters(learned):
    assert entries(learned, "a bank") == ["a", "Ġbank"]
    assert entries(learned, "\n\x00\x7f") == ["Ċ", "Ā", "ġ"]
    assert entries(learned, "银行 x") == ["éĵ¶è¡Į", "Ġ", "x"]


def test_end_of_text_has_the_last_id_and_no_text_gives_it(learned):
    last = len(learned.vocabulary) - 1
    assert learned.special_ids == {"end_of_text": last}
    assert learned.vocabulary[-1] == "<|endoftext|>"
    text = "a<|endoftext|><|endoftext|> <|endoftext|>"
    ids = learned.tokenize(tf.constant([text, "<|endoftext|>"]))
    assert last not in ids.flat_values.numpy()
    assert learned.detokenize(ids)[0].numpy().decode() == text


def test_bytes_of_tokens(learned):
    token_bytes = learned.token_bytes
    assert len(token_bytes) == len(learned.vocabulary)
    assert token_bytes[-1] == b""
    assert token_bytes[learned.vocabulary.index("Ġbank")] == b" bank"
    assert b"".join(
        token_bytes[i] for i in learned.tokenize(tf.constant([OWN_TEXT]))[0].numpy()
    ) == (OWN_TEXT.encode())


def test_ids_are_int32_and_offsets_int64(learned):
    ids, starts, limits = learned.tokenize_with_offsets(tf.constant(["the bank"]))
    assert (ids.dtype, starts.dtype, limits.dtype) == (tf.int32, tf.int64, tf.int64)
    assert learned.tokenize(tf.constant(["the bank"])).dtype == tf.int32


def test_tokens_keep_the_shape_of_ids(learned):
    assert learned.tokens(tf.constant([[0, 1], [2, 3]])).numpy().tolist() == [
        [b"!", b'"'],
        [b"#", b"$"],
    ]


def test_truncated_ids_may_end_inside_a_character(learned):
    ids = learned.tokenize(tf.constant(["é😀", "", "水"]))
    assert learned.detokenize(ids).numpy().tolist() == ["é😀".encode(), b"", "水".encode()]
    assert learned.detokenize(ids[:, :2]).numpy()[2] == "水".encode()[:2]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
@example([OWN_TEXT])
@example(["", " ", "  ", " a", "a ", "\n", "a\n\n\nb", "\0", "'s", " 's"])
def test_ids_equal_tiktokens_and_decode_to_the_text(tokenizer, encoding, texts):
    ids = tokenizer.tokenize(tf.constant(texts))
    assert ids.to_list() == [encoding.encode_ordinary(text) for text in texts]
    assert [text.decode() for text in tokenizer.detokenize(ids).numpy()] == texts


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT | st.binary(max_size=30), max_size=4))
@example([b"a  \xff \xf0\x9f\x98 b\xed\xa0\x80", "fine \ufffd", b"\xc0\x80\xf4\x90\x80\x80\xe4"])
def test_tokens_of_any_bytes_cover_them_without_gaps_and_offsets_change_no_id(learned, texts):
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    batch = tf.constant(raw, tf.string)
    ids, starts, limits = learned.tokenize_with_offsets(batch)
    assert ids.to_list() == learned.tokenize(batch).to_list()
    rows = zip(raw, ids.to_list(), starts.to_list(), limits.to_list(), strict=True)
    for text, tokens, first, after in rows:
        covered = 0
        for token, start, limit in zip(tokens, first, after, strict=True):
            assert start < limit <= len(text)
            if is_utf8(text):
                assert start == covered
                assert text[start:limit] == learned.token_bytes[token]
            assert start <= covered <= limit
            covered = limit
        assert covered == len(text)
        again = learned.tokenize_with_offsets(tf.constant([text]))
        assert [row.to_list() for row in again] == [[tokens], [first], [after]]


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xe4"])
def test_invalid_utf8_is_replaced(learned, bad):
    ids = learned.tokenize(tf.constant([b"a  " + bad + b" b"]))
    text = learned.detokenize(ids)[0].numpy().decode()
    assert text.replace("\ufffd", "") == "a   b"
    assert "\ufffd" in text
    assert ids.to_list() == learned.tokenize(tf.constant([text])).to_list()


def test_offsets_include_invalid_utf8(learned):
    text = b"a\xff\xf0\x9f\x98 bank\xc2"
    ids, starts, limits = learned.tokenize_with_offsets(tf.constant(["é", text]))
    spans = collections.Counter(zip(starts[1].numpy(), limits[1].numpy(), strict=True))
    place = ids[1].numpy().tolist().index(learned.vocabulary.index("Ġbank"))
    assert (starts[1, place], limits[1, place]) == (5, 10)
    assert spans[(1, 2)] == spans[(10, 11)] == 3  # the three bytes of U+FFFD replace one byte


def test_empty_rows_and_an_empty_batch(learned):
    a = learned.vocabulary.index("a")
    assert learned.tokenize(tf.constant(["", "a", ""])).to_list() == [[], [a], []]
    rows = [r.to_list() for r in learned.tokenize_with_offsets(tf.constant(["", "aa", ""]))]
    assert rows == [[[], [a, a], []], [[], [0, 1], []], [[], [1, 2], []]]
    empty = tf.constant([], tf.string)
    assert [r.to_list() for r in learned.tokenize_with_offsets(empty)] == [[]] * 3
    assert learned.tokenize_masked(empty).to_list() == []
    assert learned.detokenize(learned.tokenize(empty)).numpy().tolist() == []


@pytest.mark.parametrize("piece", [" ", "\n", "a", "ab", "银", "😀", "'", "1", "\0", "é "])
def test_a_long_run_of_one_piece_is_tokenized(tokenizer, piece):
    text = piece * 100_000
    ids = tokenizer.tokenize(tf.constant([text, text + "x"]))
    assert [row.decode() for row in tokenizer.detokenize(ids).numpy()] == [text, text + "x"]


def test_a_dataset_can_map_tokenize(learned):
    data = tf.data.Dataset.from_tensor_slices(["the bank", "银行"]).batch(2).map(learned.tokenize)
    assert [row.to_list() for row in data] == [
        learned.tokenize(tf.constant(["the bank", "银行"])).to_list()
    ]


def test_a_new_seed_does_not_remove_the_model(learned):
    texts = tf.constant([OWN_TEXT, "unseen"])
    before = learned.tokenize(texts).to_list()
    tf.random.set_seed(1)  # drops the kernels of eager operations and what they own
    assert learned.tokenize(texts).to_list() == before


def test_tokenizers_in_one_process_are_independent(learned):
    pairs = BytePairs((*sorted(BYTE_LETTERS), "ba", "<|endoftext|>"), (("b", "a"),))
    other = ByteBpeTokenizer(pairs, ByteBpeConfig())
    assert entries(other, "bank") == ["ba", "n", "k"]
    assert entries(learned, "a banko") == ["a", "Ġbank", "o"]
    assert entries(other, "bankx") == ["ba", "n", "k", "x"]


def test_save_and_load_give_the_same_tokenizer(learned, tmp_path):
    learned.save(tmp_path / "new")
    loaded = ByteBpeTokenizer.load(tmp_path / "new")
    assert loaded.vocabulary == learned.vocabulary
    assert loaded.config == learned.config
    texts = tf.constant([OWN_TEXT, "unseen ones\n"])
    assert loaded.tokenize(texts).to_list() == learned.tokenize(texts).to_list()


def test_load_names_the_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        ByteBpeTokenizer.load(tmp_path)


def test_hugging_face_reads_the_files_and_gives_the_same_ids(learned, tmp_path):
    learned.save(tmp_path)
    hugging_face = tokenizers.ByteLevelBPETokenizer(
        str(tmp_path / "encoder.json"), str(tmp_path / "vocab.bpe")
    )
    assert learned.tokenize(tf.constant([OWN_TEXT])).to_list() == [
        hugging_face.encode(OWN_TEXT).ids
    ]


SERVE = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
texts = tf.constant(json.loads(sys.argv[2]))
rows = [row.to_list() for row in model.tokenizer.tokenize_with_offsets(texts)]
answer = model.signatures["back"](texts=texts)
print(json.dumps([*rows, [text.decode() for text in answer["texts"].numpy()]]))
"""


@pytest.mark.e2e
def test_a_saved_module_tokenizes_in_a_process_without_this_project(learned, tmp_path):
    module = tf.Module()
    module.tokenizer = learned

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def back(texts):
        return {"texts": learned.detokenize(learned.tokenize(texts))}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"back": back})
    texts = [OWN_TEXT, "", "\0unseen 'S \U0001f980"]
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model"), json.dumps(texts)],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    rows = learned.tokenize_with_offsets(tf.constant(texts))
    assert json.loads(answer.stdout.splitlines()[-1]) == [*(r.to_list() for r in rows), texts]


def batches(corpus: str) -> Iterator[list[str]]:
    """A corpus in batches of about half a megabyte."""
    path = pathlib.Path(os.environ["POLYSEME_DATA"], "corpora", corpus)
    batch, size = [], 0
    with gzip.open(path, "rt", encoding="utf-8") as records:
        for record in records:
            batch.append(json.loads(record)["text"])
            size += len(batch[-1].encode())
            if size > 500_000:
                yield batch
                batch, size = [], 0
    yield batch


def differing(
    tokenizer: ByteBpeTokenizer, encoding: tiktoken.Encoding, texts: list[str]
) -> list[str]:
    """Texts, and lines of texts, whose ids differ from tiktoken's."""
    found = []
    for parts in (texts, [line for text in texts for line in text.split("\n")]):
        ids = tokenizer.tokenize(tf.constant(parts, tf.string)).to_list()
        expected = [encoding.encode_ordinary(part) for part in parts]
        found += [t for t, a, b in zip(parts, ids, expected, strict=True) if a != b]
    return found


CORPORA = ["litbank.jsonl.gz", "zh-wiki-simplified.jsonl.gz", "zh-wiki-traditional.jsonl.gz"]


@NO_DATA
@pytest.mark.parametrize("corpus", CORPORA)
def test_ids_of_a_corpus_equal_tiktokens(tokenizer, encoding, corpus):
    assert differing(tokenizer, encoding, next(batches(corpus))) == []


@NO_DATA
@pytest.mark.e2e
@pytest.mark.parametrize("corpus", CORPORA)
def test_ids_of_a_whole_corpus_equal_tiktokens(gpt2, corpus):
    encoding = published(gpt2)
    for batch in batches(corpus):
        assert differing(gpt2, encoding, batch) == []

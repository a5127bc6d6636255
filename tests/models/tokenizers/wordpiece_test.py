"""Tests of WordPiece in graph against Hugging Face's tokenizer."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
import tensorflow_text as tf_text
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.vocabulary import matches_nothing, read_vocabulary
from models.tokenizers.wordpiece import WordPieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [
    *SPECIAL,
    *"the bank bank ##s river ##bank un ##believ ##able cafe café".split(),
    *"1 2 ⁄ 银 行 a ##a b ##b".split(),
    *"[ ] mask , . ! # 。 é ##é ᄒ ##ᅡ ##ᆫ 한 ##ο".split(),
]
VOCABULARY = list(dict.fromkeys(VOCABULARY))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    st.sampled_from(
        "aAbéEe\u0301\u0327\u0345\u0344½İßﬁ银行한\u1112\u1161\u11ab[]MASK .,"
        "\u0000\u200d\ufeff\u302e"
    ),
    max_size=20,
)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def tokenizer(request) -> WordPieceTokenizer:
    return WordPieceTokenizer(VOCABULARY, WordPieceConfig(lowercase=request.param))


@pytest.fixture(scope="module")
def uncased() -> WordPieceTokenizer:
    return WordPieceTokenizer(VOCABULARY, WordPieceConfig())


def tokens(tokenizer: WordPieceTokenizer, text: str | bytes) -> list[str]:
    found = tokenizer.tokens(tokenizer.tokenize(tf.constant([text])))
    return [token.decode() for token in found[0].numpy()]


def spans(tokenizer: WordPieceTokenizer, text: str) -> list[tuple[str, str]]:
    """Each token and the part of the text that it came from."""
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant([text]))
    raw = text.encode()
    return [
        (token.decode(), raw[start:limit].decode())
        for token, start, limit in zip(
            *(row[0].numpy() for row in (tokenizer.tokens(ids), starts, limits)), strict=True
        )
    ]


def test_words_are_split_into_the_longest_entries(uncased):
    assert tokens(uncased, "The Riverbanks, unbelievable!") == (
        ["the", "river", "##bank", "##s", ",", "un", "##believ", "##able", "!"]
    )


def test_a_word_that_cannot_be_split_is_one_unknown_token(uncased):
    assert tokens(uncased, "bankx the") == ["[UNK]", "the"]
    ids = uncased.tokenize(tf.constant(["bankx the"])).flat_values.numpy()
    assert uncased.unknown(ids).tolist() == [True, False]


def test_chinese_is_split_into_characters(uncased):
    assert tokens(uncased, "银行bank。") == ["银", "行", "bank", "。"]


def test_special_tokens_in_a_text_are_text(uncased):
    assert tokens(uncased, "[MASK] [PAD]") == ["[", "mask", "]", "[", "[UNK]", "]"]


def test_tokenize_masked_gives_the_mask_its_id(uncased):
    ids = uncased.tokenize_masked(tf.constant(["the [MASK].", "[MASK][MASK]", "", "[mask]"]))
    rows = [[token.decode() for token in row] for row in uncased.tokens(ids).to_list()]
    assert rows == [["the", "[MASK]", "."], ["[MASK]", "[MASK]"], [], ["[", "mask", "]"]]


def test_a_word_of_the_maximum_length_is_kept_and_a_longer_word_is_unknown():
    short = WordPieceTokenizer(VOCABULARY, WordPieceConfig(max_word_bytes=4))
    assert tokens(short, "bank banks aaaa aaaaa") == (
        ["bank", "[UNK]", "a", "##a", "##a", "##a", "[UNK]"]
    )


def test_roles_have_the_ids_of_their_tokens(uncased):
    assert uncased.special_ids == {"padding": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}
    assert list(uncased.vocabulary) == VOCABULARY


def test_ids_are_int32_and_offsets_int64(tokenizer):
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant(["the bank"]))
    assert (ids.dtype, starts.dtype, limits.dtype) == (tf.int32, tf.int64, tf.int64)
    assert tokenizer.tokenize(tf.constant(["the bank"])).dtype == tf.int32


def test_tokens_keep_the_shape_of_ids(uncased):
    assert uncased.tokens(tf.constant([[0, 5], [6, 1]])).numpy().tolist() == [
        [b"[PAD]", b"the"],
        [b"bank", b"[UNK]"],
    ]


def test_detokenize_joins_pieces_into_words(uncased):
    ids = uncased.tokenize(tf.constant(["The riverbanks.", ""]))
    assert uncased.detokenize(ids).numpy().tolist() == [b"the riverbanks .", b""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  BANKS", [("the", "The"), ("bank", "BANK"), ("##s", "S")]),
        ("cafe\u0301 the", [("cafe", "cafe\u0301"), ("the", "the")]),
        ("caf\u00e9.", [("cafe", "caf\u00e9"), (".", ".")]),
        ("银行", [("银", "银"), ("行", "行")]),
        ("zzz bank", [("[UNK]", "zzz"), ("bank", "bank")]),
        (
            "\u1112\u1161\u11ab.",
            [(c, "\u1112\u1161\u11ab") for c in ("ᄒ", "##ᅡ", "##ᆫ")] + [(".", ".")],
        ),
        (
            "\ufeffthe\u00adbank the",
            [("the", "the\u00ad"), ("##bank", "bank"), ("the", "the")],
        ),
    ],
)
def test_offsets_slice_the_raw_text(uncased, text, expected):
    assert spans(uncased, text) == expected


def test_empty_rows_and_an_empty_batch(tokenizer):
    assert tokenizer.tokenize(tf.constant(["", "a", " "])).to_list() == [
        [],
        [VOCABULARY.index("a")],
        [],
    ]
    for result in tokenizer.tokenize_with_offsets(tf.constant([], tf.string)):
        assert result.to_list() == []
    assert [r.to_list() for r in tokenizer.tokenize_with_offsets(tf.constant([""]))] == [[[]]] * 3
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant(["", "a b", "", " "]))
    a, b = VOCABULARY.index("a"), VOCABULARY.index("b")
    assert ids.to_list() == [[], [a, b], [], []]
    assert starts.to_list() == [[], [0, 2], [], []]
    assert limits.to_list() == [[], [1, 3], [], []]
    assert tokenizer.tokenize_masked(tf.constant([], tf.string)).to_list() == []


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
@example("a\u0345\u0301")
@example("a\U0001d16d\U0001d165b")  # marks that folding keeps, in an order that NFC changes
@example("\u1112\u1161\u11ab")
@example("a\U00010eab\u0334")  # marks that tensorflow-text's ICU may not know
def test_nfc_changes_no_id(tokenizer, text):
    batch = tf.constant([text])
    assert (
        tokenizer.tokenize(tf_text.normalize_utf8(batch, "NFC")).to_list()
        == tokenizer.tokenize(batch).to_list()
    )


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs", "Cn"])))
def test_pythons_nfc_changes_no_id_of_characters_that_both_know(tokenizer, text):
    known = "".join(c for c in text if not 0x1AB0 <= ord(c) <= 0x1AFF)  # marks since Unicode 13
    composed = unicodedata.normalize("NFC", known)
    assert (
        tokenizer.tokenize(tf.constant([composed])).to_list()
        == tokenizer.tokenize(tf.constant([known])).to_list()
    )


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXT | st.binary(max_size=30), max_size=4))
def test_offsets_of_any_text_ascend_inside_it_and_change_no_id(tokenizer, texts):
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    batch = tf.constant(raw, tf.string)
    ids, starts, limits = tokenizer.tokenize_with_offsets(batch)
    assert ids.to_list() == tokenizer.tokenize(batch).to_list()
    for text, first, after in zip(raw, starts.to_list(), limits.to_list(), strict=True):
        assert all(
            0 <= start < limit <= len(text) for start, limit in zip(first, after, strict=True)
        )
        assert first == sorted(first)
        assert after == sorted(after)


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_the_slice_of_a_token_is_valid_utf8_and_gives_the_token_again(uncased, text):
    raw = text.encode()
    ids, starts, limits = uncased.tokenize_with_offsets(tf.constant([raw]))
    rows = (row[0].numpy() for row in (ids, starts, limits))
    for token, start, limit in zip(*rows, strict=True):
        piece = raw[start:limit].decode()  # raises inside a character
        entry = VOCABULARY[token].removeprefix("##")
        if token != uncased.special_ids["unknown"]:
            again = uncased.tokenize(tf.constant([piece]))[0].numpy()
            folded = "".join(VOCABULARY[i].removeprefix("##") for i in again)
            assert entry in folded or uncased.special_ids["unknown"] in again


def test_save_and_load_give_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = WordPieceTokenizer.load(tmp_path)
    assert list(loaded.vocabulary) == VOCABULARY
    assert loaded.config == tokenizer.config
    texts = tf.constant(["The Café, riverbanks 银行"])
    assert loaded.tokenize(texts).to_list() == tokenizer.tokenize(texts).to_list()


def test_load_names_the_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        WordPieceTokenizer.load(tmp_path)


SERVE = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
ids, starts, limits = model.tokenizer.tokenize_with_offsets(tf.constant(json.loads(sys.argv[2])))
masked = model.signatures["masked"](texts=tf.constant(["the [MASK]"]))
parts = [ids.to_list(), starts.to_list(), limits.to_list(), masked["ids"].numpy().tolist()]
print(json.dumps(parts))
"""


def test_a_saved_module_tokenizes_in_a_process_without_this_project(tokenizer, tmp_path):
    module = tf.Module()
    module.tokenizer = tokenizer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def masked(texts):
        return {"ids": tokenizer.tokenize_masked(texts).to_tensor(0)}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"masked": masked})
    texts = ["The Cafe\u0301, riverbanks 银行", "", "\x00"]
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model"), json.dumps(texts)],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant(texts))
    assert json.loads(answer.stdout.splitlines()[-1]) == [
        *[ids.to_list(), starts.to_list(), limits.to_list()],
        [[VOCABULARY.index("the"), 4]] if tokenizer.config.lowercase else [[5, 4]],
    ]


@pytest.mark.parametrize("entry", ["\0", "##\0", "a\0b", "\x11", "é" * 200, "##" + "a" * 257])
def test_an_entry_that_tensorflow_text_rejects_keeps_its_id_and_matches_nothing(entry):
    assert matches_nothing(entry)
    vocabulary = [*SPECIAL, entry, "a", "##b"]
    tokenizer = WordPieceTokenizer(vocabulary, WordPieceConfig())
    assert tokenizer.tokenize(tf.constant(["ab " + entry])).to_list()[0][:2] == [6, 7]
    assert 5 not in tokenizer.tokenize(tf.constant([entry])).to_list()[0]
    assert tokenizer.tokens(tf.constant([5])).numpy().tolist() == [entry.encode()]


@pytest.mark.parametrize("entry", ["a", "##a", "##", "\x80", "\ufeff", "a b", "#", "é" * 128])
def test_tensorflow_text_accepts_other_entries(entry):
    assert not matches_nothing(entry)
    WordPieceTokenizer([*SPECIAL, entry, "x"], WordPieceConfig())


needs_data = pytest.mark.skipif(
    "POLYSEME_DATA" not in os.environ,
    reason="POLYSEME_DATA is not set: no public vocabularies and corpora to compare on",
)


@needs_data
@pytest.mark.parametrize(
    ("vocabulary", "corpus", "lines"),
    [
        ("bert-base-uncased.txt", "litbank.jsonl.gz", 8_000),
        ("bert-base-chinese.txt", "zh-wiki-simplified.jsonl.gz", 3_000),
        ("bert-base-chinese.txt", "zh-wiki-traditional.jsonl.gz", 3_000),
    ],
)
def test_ids_equal_hugging_faces_except_in_texts_with_long_words(vocabulary, corpus, lines):
    data = pathlib.Path(os.environ["POLYSEME_DATA"])
    path = data / "vocabularies" / vocabulary
    hugging_face = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True)
    tokenizer = WordPieceTokenizer(read_vocabulary(path), WordPieceConfig())
    texts = []
    with gzip.open(data / "corpora" / corpus, "rt", encoding="utf-8") as stream:
        for record in stream:
            texts += [line for line in json.loads(record)["text"].split("\n") if line.strip()]
            if len(texts) >= lines:
                break
    found = tokenizer.tokenize(tf.constant(texts)).to_list()
    expected = [e.ids for e in hugging_face.encode_batch(texts, add_special_tokens=False)]
    differing = [t for t, a, b in zip(texts, found, expected, strict=True) if a != b]
    unexplained = [text for text in differing if not holds_a_long_word(text)]
    assert unexplained == []
    assert len(differing) < len(texts) // 50


def holds_a_long_word(text: str) -> bool:
    """tensorflow-text limits words to 100 bytes, Hugging Face to 100 characters."""
    return any(len(word.encode()) > 100 for word in text.split())

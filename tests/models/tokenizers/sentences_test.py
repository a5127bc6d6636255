"""Tests of sentence splitting in English and Chinese."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.tokenizers.sentences import split_sentences

ENGLISH = {
    "nothing": ("", []),
    "white space": (" \t\n\u2028 ", []),
    "no mark": ("a river without a bank", ["a river without a bank"]),
    "marks": ("It rose. Did it? It did! So", ["It rose.", "Did it?", "It did!", "So"]),
    "marks in a row": ("Really?! No!!! Well", ["Really?!", "No!!!", "Well"]),
    "before no space": ("See bank.txt or a.b?c!d", ["See bank.txt or a.b?c!d"]),
    "before a small letter": ("He cried oh! and fell. Then", ["He cried oh! and fell.", "Then"]),
    "decimals": ("It fell by 3.5 in 1.2.3 days. So", ["It fell by 3.5 in 1.2.3 days.", "So"]),
    "a year at the end": ("It fell in 1990. In 1991", ["It fell in 1990.", "In 1991"]),
    "titles": ("Mr. Li met Prof. Wu. They ate.", ["Mr. Li met Prof. Wu.", "They ate."]),
    "titles in capitals": ("MRS. Wu, PROF. Li", ["MRS. Wu, PROF. Li"]),
    "never an end": ("Wu et al. The two, i.e. The first", ["Wu et al. The two, i.e. The first"]),
    "initials": ("J. R. R. Tolkien met (C. S. Lewis).", ["J. R. R. Tolkien met (C. S. Lewis)."]),
    "I is no initial": ("It was I. He knew.", ["It was I.", "He knew."]),
    "a small letter is no initial": ("Plan b. The end", ["Plan b.", "The end"]),
    "before a number": ("See no. 5 and Fig. 12 of p. 7.", ["See no. 5 and Fig. 12 of p. 7."]),
    "before no number": ("He said no. It was Jan. Then", ["He said no.", "It was Jan.", "Then"]),
    "before an opener": ("Up at 5 p.m. The U.S. But", ["Up at 5 p.m.", "The U.S.", "But"]),
    "before a name": ("The U.S. Senate, Acme Inc. Paris", ["The U.S. Senate, Acme Inc. Paris"]),
    "dotted": ("The N.A.T.O. Council, N.A.T.O. He", ["The N.A.T.O. Council, N.A.T.O.", "He"]),
    "ellipsis": ("Wait... what? Wait... What", ["Wait... what?", "Wait...", "What"]),
    "one ellipsis": ("I saw… and won… Then", ["I saw… and won…", "Then"]),
    "closing quotes": ("“Go!” He went. 'No.' So", ["“Go!”", "He went.", "'No.'", "So"]),
    "closing brackets": ("(It rose.) [It fell?] So", ["(It rose.)", "[It fell?]", "So"]),
    "opening quotes": ('It rose. "No." ‘Yes.’ (So', ["It rose.", '"No."', "‘Yes.’", "(So"]),
    "a quoted small letter": ('Oh! "and so on" it went', ['Oh! "and so on" it went']),
    "list items": ("1. Do it. 2. Do that.", ["1. Do it.", "2. Do that."]),
    "list items in lines": ("1. Rise\n2. Fall\n", ["1. Rise", "2. Fall"]),
    "line breaks": ("a\nb\r\n\r\nc\u2028d\u2029e\x85f\vg", ["a", "b", "c", "d", "e", "f", "g"]),
    "a line break after anything": ("Mr.\nLi\n1.\nand", ["Mr.", "Li", "1.", "and"]),
    "quotes that open a line": ('He.\n"Go" she. \n\'No\'\n(a', ["He.", '"Go" she.', "'No'", "(a"]),
    "Chinese marks": ("The 银行。He left！So", ["The 银行。", "He left！", "So"]),
    "marks that end sentences only in Chinese": ("one；two", ["one；two"]),
}  # fmt: skip

CHINESE = {
    "marks": ("他来了。谁？我！走", ["他来了。", "谁？", "我！", "走"]),
    "marks in a row": ("真的？！好。。走", ["真的？！", "好。。", "走"]),
    "half width": ("他来了｡走", ["他来了｡", "走"]),
    "semicolon and ellipsis": ("河涨了；船沉了……完", ["河涨了；", "船沉了……", "完"]),
    "closing quotes": ("“走！”他说。『「好。」』完", ["“走！”", "他说。", "『「好。」』", "完"]),
    "closing brackets": ("（是？）【不。】他", ["（是？）", "【不。】", "他"]),
    "no white space": ("一。 二。\u3000三", ["一。", "二。", "三"]),
    "comma and colon": ("他说：一，二、三", ["他说：一，二、三"]),
    "line breaks": ("标题\n正文。", ["标题", "正文。"]),
    "Latin marks": ("Mr. Li 来了. Then 3.5 走", ["Mr. Li 来了.", "Then 3.5 走"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentences"), ENGLISH.values(), ids=ENGLISH)
def test_english(text, sentences):
    assert split_sentences(text, "en") == sentences


@pytest.mark.parametrize(("text", "sentences"), CHINESE.values(), ids=CHINESE)
def test_chinese(text, sentences):
    assert split_sentences(text, "zh") == sentences


@pytest.mark.parametrize(
    ("lang", "parts"), [("zh", 2), ("zh-TW", 2), ("ZH-Hans", 2), ("en", 1), ("", 1), ("zha", 1)]
)
def test_codes_of_chinese_and_its_variants(lang, parts):
    assert len(split_sentences("一；二", lang)) == parts


TEXT = st.text(
    st.sampled_from("aB1I .!?…；。！？｡\"'”’)」([“«-\n\r\t\u2028\u3000银") | st.characters(),
    max_size=40,
) | st.lists(
    st.sampled_from(["Mr.", "no.", "etc.", "U.S.", "The", "Li", "1.", "J.", "I.", " ", "\n", '."']),
    max_size=12,
).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(TEXT, st.sampled_from(["en", "zh"]))
@example('. \n" a', "en")
@example("\x1c\x1d\x1e\x1f a.\x1f B", "en")
def test_only_white_space_is_lost(text, lang):
    sentences = split_sentences(text, lang)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@settings(max_examples=400, deadline=None)
@given(TEXT, st.sampled_from(["en", "zh"]))
@example('.\n"a', "en")
def test_a_sentence_is_not_split_again_and_has_one_line(text, lang):
    for sentence in split_sentences(text, lang):
        assert split_sentences(sentence, lang) == [sentence]
        assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize(
    "unit", [".", '"', "1. ", " ", "\n", "Mr. ", "a.b", "。", '."', "x" * 99 + ". "]
)
def test_no_character_of_a_long_text_is_lost(unit):
    text = unit * (1_000_000 // len(unit))
    assert "".join("".join(split_sentences(text, "en")).split()) == "".join(text.split())

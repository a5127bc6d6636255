"""One tokenizer path: Beam, training input and the SavedModel give the same ids."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections import Counter
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components import documents as documents_module
from components.config import ExamplesConfig
from components.documents import Document
from components.examples import transforms as example_generation
from components.examples.shards import document_shards
from components.serving.export import export
from models.bert.config import BertConfig
from models.examples import parse
from models.objective import Objective, numeric_features
from models.registry import FAMILIES
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.tokenizer import Tokenizer
from pipeline.corpus import fetch_sotu
from tests.testdata import little_bert

pytestmark = pytest.mark.e2e

LENGTH = 128
CONFIG = BertConfig(
    backbone=dataclasses.replace(little_bert.CONFIG.backbone, max_length=LENGTH),
    objective=dataclasses.replace(
        little_bert.CONFIG.objective,
        sequence_length=LENGTH,
        max_predictions_per_seq=20,
        dupe_factor=1,
    ),
    tokenizer=WordPieceConfig(vocabulary_size=8_000),
)
BATCH = 500


@dataclasses.dataclass(frozen=True)
class Setup:
    """A corpus, a tokenizer learned from it, and a model exported with that tokenizer inside."""

    folder: pathlib.Path
    documents: list[Document]
    tokenizer: Tokenizer
    objective: Objective
    served: Any

    @property
    def paragraphs(self) -> list[str]:
        lines = (line for document in self.documents for line in document.text.split("\n"))
        return [line for line in lines if line.strip()]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("ids")
    documents = [
        Document(item["id"], item["text"], item["source"], item["lang"], 0)
        for path in fetch_sotu(folder).paths
        for item in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]
    family = FAMILIES["bert"]
    splitter = family.tokenizer.word_splitter(CONFIG.tokenizer)
    words, numbers = splitter.count(tf.constant([document.text for document in documents]))
    counts = dict(zip((w.decode() for w in words.numpy()), numbers.numpy().tolist(), strict=True))
    tokenizer = family.tokenizer.learn(counts, CONFIG.tokenizer)
    objective = family.build_objective(CONFIG.objective, tokenizer)
    model = objective.build_model(family.build_backbone(CONFIG.backbone, tokenizer))
    export(model, objective, tokenizer, folder / "model", config_json="{}", provenance={})
    (folder / "examples").mkdir()
    tokenizer.save(folder / "examples" / example_generation.TOKENIZER_FOLDER)
    served = tf.saved_model.load(str(folder / "model"))
    return Setup(folder, documents, tokenizer, objective, served)


def beam_ids(setup: Setup, texts: list[str]) -> list[list[int]]:
    """Ids from the function that ExampleBuilder's workers call, in a Beam pipeline."""
    tokenizer = str(setup.folder / "examples" / example_generation.TOKENIZER_FOLDER)
    objective = json.dumps(dataclasses.asdict(CONFIG.objective))
    target = setup.folder / "beam.jsonl"

    def tokenize(texts: list[str]) -> str:
        _, graph = example_generation.load_objective("bert", objective, tokenizer)
        values, splits = graph.ids(tf.constant(texts))
        return json.dumps(tf.RaggedTensor.from_row_splits(values, splits).to_list())

    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([texts])
            | beam.Map(tokenize)
            | beam.io.WriteToText(str(target), shard_name_template="")
        )
    return json.loads(target.read_text())


def batches(texts: list[str]) -> list[list[str]]:
    return [texts[begin : begin + BATCH] for begin in range(0, len(texts), BATCH)]


def test_beam_and_the_saved_model_agree_on_every_paragraph_of_the_corpus(setup: Setup) -> None:
    paragraphs = setup.paragraphs
    assert len(paragraphs) > 10_000
    from_beam = beam_ids(setup, paragraphs)
    vocabulary = [entry.encode() for entry in setup.tokenizer.vocabulary]
    start = 0
    for batch in batches(paragraphs):
        expected = from_beam[start : start + len(batch)]
        start += len(batch)
        assert setup.served.tokenizer.tokenize(tf.constant(batch)).to_list() == expected
        answer = setup.served.signatures["serving_default"](texts=tf.constant(batch))
        tokens, mask = answer["tokens"].numpy(), answer["padding_mask"].numpy()
        for row, ids in enumerate(expected):
            served = tokens[row][: mask[row].sum()].tolist()
            assert served == [b"[CLS]", *(vocabulary[i] for i in ids[: LENGTH - 2]), b"[SEP]"]
    assert start == len(from_beam)


def test_training_examples_contain_the_ids_of_the_saved_model(setup: Setup) -> None:
    """With masked tokens restored, A and B of an example are parts of a document as served."""
    source, target = setup.folder / "documents", setup.folder / "examples"
    chosen = {"train": setup.documents[-30:], "test": setup.documents[:5]}
    for split, documents in chosen.items():
        (source / f"Split-{split}").mkdir(parents=True)
        path = str(source / f"Split-{split}" / "documents-00000-of-00001.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for document in documents:
                writer.write(*documents_module.serialize([document]))
    with beam.Pipeline() as pipeline:
        example_generation.build(
            pipeline, document_shards(str(source), {}, None), str(target), family="bert",
            objective=json.dumps(dataclasses.asdict(CONFIG.objective)),
            config=ExamplesConfig(), span=1,
            code="c0de", finished=str(setup.folder / "finished"),
        )  # fmt: skip
    for split, documents in chosen.items():
        sentences = [s for d in documents for s in setup.objective.split(d.text, d.lang)]
        served = setup.served.tokenizer.tokenize(tf.constant(sentences)).flat_values.numpy()
        whole = served.astype("<i4").tobytes()
        files = [str(path) for path in (target / f"Split-{split}").iterdir()]
        spec = numeric_features(setup.objective.feature_spec())
        seen = 0
        for batch in tf.data.TFRecordDataset(files, "GZIP").batch(BATCH):
            features = {name: value.numpy() for name, value in parse(batch, spec).items()}
            for row in range(len(batch)):
                for part in parts(features, row):
                    place = whole.find(part.astype("<i4").tobytes())
                    while place > 0 and place % 4:  # a match that begins within an id
                        place = whole.find(part.astype("<i4").tobytes(), place + 1)
                    assert place >= 0
                seen += 1
        assert seen >= 50


def parts(features: dict[str, np.ndarray], row: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B of an example, with masked tokens restored."""
    ids = features["token_ids"][row].copy()
    masked = features["mask_weights"][row] > 0
    ids[features["mask_positions"][row][masked]] = features["mask_ids"][row][masked]
    end = int(features["padding_mask"][row].sum())
    second = int((features["segment_ids"][row] == 0)[:end].sum())
    return ids[1 : second - 1], ids[second : end - 1]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
@example(texts=["", "é\u0301 银行。“Ａ”\x00 \u200d\ufeff", "[MASK] [SEP]", ""])
@example(texts=["한\u1112\u1161\u11ab", "a" * 300, "\u0345\u0300\U0001f468\u200d\U0001f469"])
def test_beam_and_the_saved_model_agree_on_any_unicode(setup: Setup, texts: list[str]) -> None:
    tokenizer = str(setup.folder / "examples" / example_generation.TOKENIZER_FOLDER)
    _, graph = example_generation.load_objective(
        "bert", json.dumps(dataclasses.asdict(CONFIG.objective)), tokenizer
    )
    values, splits = graph.ids(tf.constant(texts))
    expected = tf.RaggedTensor.from_row_splits(values, splits).to_list()
    assert setup.served.tokenizer.tokenize(tf.constant(texts)).to_list() == expected
    answer = setup.served.signatures["serving_default"](texts=tf.constant(texts))
    vocabulary = setup.tokenizer.vocabulary
    for row, ids in enumerate(expected):
        real = int(answer["padding_mask"][row].numpy().sum())
        served = [token.decode() for token in answer["tokens"][row].numpy()[:real]]
        assert served == ["[CLS]", *(vocabulary[i] for i in ids[: LENGTH - 2]), "[SEP]"]


def test_few_words_of_the_corpus_are_unknown(setup: Setup) -> None:
    """Otherwise the tests above would compare [UNK] with [UNK]."""
    ids = setup.tokenizer.tokenize(tf.constant(setup.paragraphs[:2_000])).flat_values.numpy()
    counts = Counter(ids.tolist())
    assert counts[setup.tokenizer.special_ids["unknown"]] < len(ids) / 10_000
    assert len(counts) > 4_000

"""The recipes: functions that return a configuration, with the command and expected result."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping

from components.config import CleaningConfig, IngestionConfig, ValidationConfig, VocabularyConfig
from models.bert.config import SIZES as BERT_SIZES
from models.bert.config import BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.elmo.config import SIZES as ELMO_SIZES
from models.elmo.config import ElmoBackboneConfig, ElmoConfig, ElmoObjectiveConfig
from models.errors import ConfigError
from models.gpt.config import SIZES as GPT_SIZES
from models.gpt.config import GptBackboneConfig, GptConfig, GptObjectiveConfig
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from models.training.config import OptimizerConfig, TrainingConfig
from pipeline.config import PipelineConfig
from pipeline.demo_recipes import bert_demo, elmo_demo, gpt_demo

_NANOGPT = OptimizerConfig(
    learning_rate=6e-4,
    warmup_steps=2_000,
    schedule="cosine",
    final_learning_rate=6e-5,
    weight_decay=0.1,
    beta_2=0.95,
    epsilon=1e-8,
    bias_correction=True,
)
"""nanoGPT's AdamW and schedule for GPT-2 small."""

_BILM_TF = OptimizerConfig(
    kind="adagrad",
    learning_rate=0.2,
    warmup_steps=0,
    schedule="constant",
    initial_accumulator_value=1.0 / 20**2,
    clip_norm=10.0 / 20,
)
"""bilm-tf's Adagrad. bilm-tf sums the loss over the 20 words of a window and we take the mean, so
our gradients, their clip norm and the root of the initial accumulator are 20 times less."""


def bert_tiny() -> PipelineConfig:
    """The whole pipeline with a tiny BERT, for tests and for a first run on your own text.

    Command:
        python -m pipeline run bert_tiny --input mine.jsonl

    Expected: about 90 seconds on two cores, most of it imports, and a pushed model that has learned
    almost nothing.
    """
    return PipelineConfig(
        model=BertConfig(
            backbone=BertBackboneConfig(2, 32, 2, 64, initializer_range=0.1, max_length=64),
            objective=BertObjectiveConfig(
                sequence_length=64,
                max_predictions_per_seq=10,
                dupe_factor=1,
                min_accuracy_over_unigram=0.0,
                max_regression=None,
            ),
            tokenizer=WordPieceConfig(vocabulary_size=1_000),
        ),
        ingestion=IngestionConfig(test_share=0.2, shards=2),
        validation=ValidationConfig(min_test_documents=1, max_duplicate_share=1.0),
        cleaning=CleaningConfig(duplicates=False),
        vocabulary=VocabularyConfig(min_count=1),
        training=TrainingConfig(
            steps=20,
            batch_size=8,
            jit_compile=False,  # compiling takes longer than these steps
            log_steps=10,
            optimizer=OptimizerConfig(learning_rate=1e-3, bias_correction=True),
        ),
    )


def bert_zh_tiny() -> PipelineConfig:
    """`bert_tiny` for Chinese: each character is a token, and sentences end with 。！？.

    Command:
        python -m pipeline run bert_zh_tiny --input chinese.jsonl

    Expected: the same as bert_tiny.
    """
    tiny = bert_tiny()
    assert isinstance(tiny.model, BertConfig)
    return dataclasses.replace(
        tiny,
        ingestion=dataclasses.replace(tiny.ingestion, lang="zh"),
        model=dataclasses.replace(tiny.model, tokenizer=WordPieceConfig(vocabulary_size=4_000)),
    )


def bert_base() -> PipelineConfig:
    """BERT base, uncased (Devlin et al., 2019), first phase: 128 tokens, a million steps.

    Command:
        python -m pipeline run bert_base --input 'corpus/{SPAN}/*.jsonl.gz' --span next

    Then the second phase, on 512 tokens, which starts from the model of the first phase:
        … --span 1 --set training.steps=100000 --set model.objective.sequence_length=512
          --set model.objective.max_predictions_per_seq=77 --set
          training.gradient_accumulation_steps=4

    Expected: 109 million parameters in the encoder. It needs accelerators and billions of words.
    It has not been trained to the end with this code yet, so there are no metrics to expect.
    """
    return PipelineConfig(
        model=BertConfig(
            backbone=BERT_SIZES["base"],
            objective=BertObjectiveConfig(
                min_next_sentence_over_majority=1.5, min_accuracy_over_unigram=2.0
            ),
        ),
        ingestion=IngestionConfig(test_share=0.01),
        training=TrainingConfig(steps=1_000_000, batch_size=256, log_steps=100, length_buckets=4),
    )


def elmo_tiny() -> PipelineConfig:
    """The whole pipeline with a tiny ELMo, for tests and for a first run on your own text.

    Command:
        python -m pipeline run elmo_tiny --input mine.jsonl

    Expected: about 90 seconds on two cores, most of it imports, and a pushed model that has learned
    almost nothing.
    """
    tiny = bert_tiny()
    return dataclasses.replace(
        tiny,
        model=ElmoConfig(
            backbone=ElmoBackboneConfig(
                filters=((1, 16), (2, 16), (3, 32)), num_highways=1, units=64, projection_size=32
            ),
            objective=ElmoObjectiveConfig(
                unroll_steps=10,
                num_streams=8,
                num_sampled=256,
                bigram_pairs=16_384,
                max_loss_over_bigram=None,
                max_loss_over_unigram=None,
                max_regression=None,
            ),
            tokenizer=CharacterConfig(vocabulary_size=1_000),
        ),
        training=dataclasses.replace(
            tiny.training, optimizer=dataclasses.replace(_BILM_TF, learning_rate=0.1)
        ),
    )


def elmo_zh_tiny() -> PipelineConfig:
    """`elmo_tiny` for Chinese: each character is a word, and sentences end with 。！？.

    Command:
        python -m pipeline run elmo_zh_tiny --input chinese.jsonl

    Expected: the same as elmo_tiny.
    """
    tiny = elmo_tiny()
    return dataclasses.replace(tiny, ingestion=dataclasses.replace(tiny.ingestion, lang="zh"))


def elmo_original() -> PipelineConfig:
    """ELMo as published (Peters et al., 2018), with bilm-tf's training.

    Command:
        python -m pipeline run elmo_original --input 'corpus/{SPAN}/*.jsonl.gz' --span next

    Expected: 93.6 million parameters in the encoder. It needs accelerators and a billion words.
    It has not been trained to the end with this code yet, so there are no metrics to expect.
    """
    return PipelineConfig(
        model=ElmoConfig(backbone=ELMO_SIZES["original"]),
        ingestion=IngestionConfig(test_share=0.01),
        training=TrainingConfig(steps=3_000_000, batch_size=128, log_steps=100, optimizer=_BILM_TF),
    )


def gpt_tiny() -> PipelineConfig:
    """The whole pipeline with a tiny GPT, for tests and for a first run on your own text.

    Command:
        python -m pipeline run gpt_tiny --input mine.jsonl

    Expected: about 90 seconds on two cores, most of it imports, and a pushed model that has learned
    almost nothing.
    """
    tiny = bert_tiny()
    return dataclasses.replace(
        tiny,
        model=GptConfig(
            backbone=GptBackboneConfig(2, 32, 2, max_length=64),
            objective=GptObjectiveConfig(
                sequence_length=64,
                bigram_pairs=16_384,
                max_loss_over_bigram=None,
                max_loss_over_unigram=None,
                max_regression=None,
            ),
            tokenizer=ByteBpeConfig(vocabulary_size=1_000),
        ),
        training=dataclasses.replace(
            tiny.training,
            optimizer=dataclasses.replace(_NANOGPT, learning_rate=1e-3, warmup_steps=None),
        ),
    )


def gpt_zh_tiny() -> PipelineConfig:
    """`gpt_tiny` for Chinese, where a character is one token or several.

    Command:
        python -m pipeline run gpt_zh_tiny --input chinese.jsonl

    Expected: the same as gpt_tiny.
    """
    tiny = gpt_tiny()
    return dataclasses.replace(tiny, ingestion=dataclasses.replace(tiny.ingestion, lang="zh"))


def gpt_small() -> PipelineConfig:
    """GPT-2's smallest published size (Radford et al., 2019) with nanoGPT's training.

    Command:
        python -m pipeline run gpt_small --input 'corpus/{SPAN}/*.jsonl.gz' --span next

    Expected: 124 million parameters. It needs accelerators and billions of words. It has not been
    trained to the end with this code yet, so there are no metrics to expect.
    """
    return PipelineConfig(
        model=GptConfig(backbone=GPT_SIZES["small"]),
        ingestion=IngestionConfig(test_share=0.01),
        training=TrainingConfig(
            steps=600_000,
            batch_size=480,
            gradient_accumulation_steps=40,
            log_steps=100,
            optimizer=_NANOGPT,
        ),
    )


RECIPES: Mapping[str, Callable[[], PipelineConfig]] = {
    "bert_tiny": bert_tiny,
    "bert_zh_tiny": bert_zh_tiny,
    "bert_demo": bert_demo,
    "bert_base": bert_base,
    "elmo_tiny": elmo_tiny,
    "elmo_zh_tiny": elmo_zh_tiny,
    "elmo_demo": elmo_demo,
    "elmo_original": elmo_original,
    "gpt_tiny": gpt_tiny,
    "gpt_zh_tiny": gpt_zh_tiny,
    "gpt_demo": gpt_demo,
    "gpt_small": gpt_small,
}


def resolve_recipe(name: str) -> PipelineConfig:
    """The configuration of a recipe, named after it.

    Raises:
        ConfigError: there is no such recipe; the error suggests the nearest name.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, list(RECIPES), n=1, cutoff=0.5)
        suggestion = f"did you mean {near[0]}? All recipes" if near else "choose one of"
        raise ConfigError(
            f"there is no recipe {name!r}", remedy=f"{suggestion}: {', '.join(RECIPES)}"
        )
    return dataclasses.replace(RECIPES[name](), name=name, recipe=name)

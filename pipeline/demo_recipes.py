"""The recipes of `make demo`, which trains one small model of each family."""

from __future__ import annotations

import dataclasses

from components.config import ValidationConfig
from models.bert.config import BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.elmo.config import ElmoBackboneConfig, ElmoConfig, ElmoObjectiveConfig
from models.gpt.config import GptBackboneConfig, GptConfig, GptObjectiveConfig
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from models.training.config import OptimizerConfig, TrainingConfig
from pipeline.config import PipelineConfig

_ADAM = OptimizerConfig(
    learning_rate=4e-3,
    warmup_steps=50,
    schedule="cosine",
    final_learning_rate=1e-4,
    weight_decay=0.1,
    beta_2=0.95,
    epsilon=1e-8,
    bias_correction=True,
)
"""nanoGPT's AdamW and schedule, with learning rates for a run of minutes."""

_VALIDATION = ValidationConfig(min_test_documents=1)
"""The second and third span of the addresses have 11 documents each, 1 or 2 of them for test."""


def bert_demo() -> PipelineConfig:
    """A small BERT that learns from real text on a laptop in minutes; part of `make demo`.

    Command:
        python -m pipeline run bert_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: after about 7 minutes of training on one core, a blessed and pushed model. On test
    addresses its accuracy is 0.258 on masked words (unigram baseline 0.064) and 0.683 on next
    sentences (more frequent label 0.604); see docs/decisions/0027-a-demo-that-convinces.md.
    """
    return PipelineConfig(
        model=BertConfig(
            # No dropout: in minutes no text is seen often enough to be memorized.
            backbone=BertBackboneConfig(
                2, 128, 4, 512, dropout=0.0, initializer_range=0.04, max_length=64
            ),
            objective=BertObjectiveConfig(
                sequence_length=64,
                mask_prob=0.4,
                max_predictions_per_seq=26,
                dupe_factor=4,
                min_next_sentence_over_majority=1.0,
                min_accuracy_over_unigram=3.0,
            ),
            tokenizer=WordPieceConfig(vocabulary_size=4_000),
        ),
        validation=_VALIDATION,
        training=TrainingConfig(
            steps=3_400,
            batch_size=32,
            optimizer=OptimizerConfig(
                learning_rate=1.2e-3,
                warmup_steps=100,
                schedule="cosine",
                final_learning_rate=5e-5,
                beta_2=0.98,
                bias_correction=True,
            ),
        ),
    )


def elmo_demo() -> PipelineConfig:
    """A small ELMo that learns from real text on a laptop in minutes; part of `make demo`.

    Command:
        python -m pipeline run elmo_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: after about 5 minutes of training on one core, a blessed and pushed model. On test
    addresses its perplexity is 90 (bigram baseline 115); see
    docs/decisions/0027-a-demo-that-convinces.md.
    """
    return PipelineConfig(
        model=ElmoConfig(
            backbone=ElmoBackboneConfig(
                filters=((1, 16), (2, 32), (3, 64), (4, 64)),
                num_highways=1,
                units=128,
                projection_size=64,
                dropout=0.0,  # in minutes no text is seen often enough to be memorized
            ),
            objective=ElmoObjectiveConfig(
                unroll_steps=24,
                num_streams=24,
                num_sampled=1_024,
                max_loss_over_bigram=0.98,  # measured: 0.950 [0.938, 0.969], over 8 units of text
            ),
            tokenizer=CharacterConfig(vocabulary_size=8_000),
        ),
        validation=_VALIDATION,
        training=TrainingConfig(
            steps=4_500,
            batch_size=24,
            optimizer=dataclasses.replace(
                _ADAM, learning_rate=6e-3, final_learning_rate=2e-4, weight_decay=0.0, beta_2=0.999
            ),
        ),
    )


def gpt_demo() -> PipelineConfig:
    """A small GPT that learns from real text on a laptop in minutes; part of `make demo`.

    Command:
        python -m pipeline run gpt_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: after 5 to 6 minutes of training on one core, a blessed and pushed model. On test
    addresses its perplexity is 36 (bigram baseline 62); see
    docs/decisions/0027-a-demo-that-convinces.md.
    """
    return PipelineConfig(
        model=GptConfig(
            backbone=GptBackboneConfig(2, 128, 4, max_length=64),
            objective=GptObjectiveConfig(
                sequence_length=64,
                max_loss_over_bigram=0.91,  # a perplexity of 0.70 times the bigram baseline's
            ),
            tokenizer=ByteBpeConfig(vocabulary_size=2_000),
        ),
        validation=_VALIDATION,
        training=TrainingConfig(steps=2_400, batch_size=32, optimizer=_ADAM),
    )

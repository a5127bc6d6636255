"""The recipes of `make demo`, which trains one small model of each family side by side."""

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
"""nanoGPT's AdamW and schedule, at rates for a run of minutes."""

_VALIDATION = ValidationConfig(min_test_documents=1)
"""The second and the third span of the addresses have 11 each, and so one or two to test on."""


def bert_demo() -> PipelineConfig:
    """A small BERT that learns real text on a laptop: `make demo`.

    Command:
        python -m pipeline run bert_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: in about 7 minutes of training on one core a blessed and pushed model. On addresses
    that it did not see it is right for 0.258 of the masked words, the unigram baseline for 0.064,
    and tells for 0.683 of the pairs whether the second sentence follows, 0.604 with the more
    frequent label alone (docs/decisions/0027-a-demo-that-convinces.md).
    """
    return PipelineConfig(
        model=BertConfig(
            # No dropout: in minutes nothing is seen often enough to be learned by heart.
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
    """A small ELMo that learns real text on a laptop: `make demo`.

    Command:
        python -m pipeline run elmo_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: in about 5 minutes of training on one core a blessed and pushed model. On addresses
    that it did not see its perplexity is 90, the bigram baseline's 115
    (docs/decisions/0027-a-demo-that-convinces.md).
    """
    return PipelineConfig(
        model=ElmoConfig(
            backbone=ElmoBackboneConfig(
                filters=((1, 16), (2, 32), (3, 64), (4, 64)),
                num_highways=1,
                units=128,
                projection_size=64,
                dropout=0.0,  # in minutes nothing is seen often enough to be learned by heart
            ),
            objective=ElmoObjectiveConfig(
                unroll_steps=24,
                num_streams=24,
                num_sampled=1_024,
                max_loss_over_bigram=0.98,  # the interval, of 8 units of text: 0.950 [0.938, 0.969]
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
    """A small GPT that learns real text on a laptop: `make demo`.

    Command:
        python -m pipeline run gpt_demo --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span next

    Expected: in 5 to 6 minutes of training on one core a blessed and pushed model. On addresses
    that it did not see its perplexity is 36, the bigram baseline's 62
    (docs/decisions/0027-a-demo-that-convinces.md).
    """
    return PipelineConfig(
        model=GptConfig(
            backbone=GptBackboneConfig(2, 128, 4, max_length=64),
            objective=GptObjectiveConfig(
                sequence_length=64,
                max_loss_over_bigram=0.91,  # a perplexity of 0.70 times the bigrams'
            ),
            tokenizer=ByteBpeConfig(vocabulary_size=2_000),
        ),
        validation=_VALIDATION,
        training=TrainingConfig(steps=2_400, batch_size=32, optimizer=_ADAM),
    )

"""BERT's settings: sizes, objective, tokenizer. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import pydantic
from pydantic import NonNegativeFloat, PositiveFloat

from models.bert.metrics import metrics
from models.family import FamilyConfig
from models.metric import Metric
from models.settings import Affects, NonNegativeInt, PositiveInt, Rate, Settings, Share
from models.tokenizers.config import WordPieceConfig
from models.transformer_config import Activation, check_heads

SEGMENTERS = ("jieba",)
"""Word segmenters of Chinese that need no registration."""
SEGMENTER_GROUP = "polyseme.segmenters"
"""The group of entry points in which an installed package registers a function, text to words."""
_OLD_SEGMENTERS: Mapping[str, str] = {"jieba:lcut": "jieba"}
"""Names in configurations of earlier releases, which had `module:function`."""

_MaskProb = Annotated[float, pydantic.Field(gt=0, le=1)]


@dataclasses.dataclass(frozen=True)
class BertBackboneConfig(Settings, place="model.backbone", affects=Affects.WEIGHTS):
    """Sizes of the encoder (Devlin et al., 2019, section 3)."""

    num_layers: PositiveInt = 12
    hidden_size: PositiveInt = 768
    num_heads: PositiveInt = 12
    intermediate_size: PositiveInt = 3072
    """Width of the feed-forward layer."""
    dropout: Rate = 0.1
    initializer_range: PositiveFloat = 0.02
    """Standard deviation of the initial kernels. The published value suits a hidden size of 768. A
    narrow encoder with such small weights learns word frequencies and then nothing more, so give
    about 1/sqrt(hidden_size). Embeddings are normalized and start at 0.02 for any hidden size."""
    max_length: PositiveInt = 512
    """Positions that have an embedding, in tokens."""
    activation: Activation = "gelu_tanh"
    """GELU of the feed-forward layers and the masked-word head: "gelu" by the error function, as in
    transformers' checkpoints, or "gelu_tanh", its approximation in google-research/bert."""
    layer_norm_epsilon: PositiveFloat = 1e-12
    num_segments: PositiveInt = 2
    """Segments that have an embedding: 2, or 1 for training without pairs (RoBERTa)."""
    vocabulary_rows: NonNegativeInt = 0
    """Rows of the token embedding; 0 for one per entry of the tokenizer. A larger number that is a
    multiple of 64 or 128 makes matrix products faster; rows beyond the entries are never
    predicted."""

    def check(self) -> None:
        """Refuses a hidden size that the heads cannot share equally."""
        check_heads(self, self.hidden_size, self.num_heads)


SIZES: Mapping[str, BertBackboneConfig] = {
    "tiny": BertBackboneConfig(2, 128, 2, 512, initializer_range=0.05),
    "mini": BertBackboneConfig(4, 256, 4, 1024),
    "small": BertBackboneConfig(4, 512, 8, 2048),
    "medium": BertBackboneConfig(8, 512, 8, 2048),
    "base": BertBackboneConfig(12, 768, 12, 3072),
    "large": BertBackboneConfig(24, 1024, 16, 4096),
}
"""The published sizes (Devlin et al., 2019; Turc et al., 2019)."""


@dataclasses.dataclass(frozen=True)
class BertObjectiveConfig(Settings, place="model.objective", affects=Affects.EXAMPLES):
    """Masked words and a second segment, with google-research/bert's defaults."""

    sequence_length: PositiveInt = 128
    """Tokens of an example, special tokens included."""
    second_segment: Literal["next_sentence", "sentence_order", "none"] = "next_sentence"
    """What the second segment is, and so the label of a pair. "next_sentence" (BERT): half of the
    time the text that follows, else text of another document. "sentence_order" (ALBERT): the text
    that follows, and the two segments are swapped half of the time. "none" (RoBERTa): there is no
    second segment; full sentences are packed across documents, and only words are predicted."""
    max_predictions_per_seq: PositiveInt = 20
    """Masked positions of an example, at most."""
    mask_prob: _MaskProb = 0.15
    eval_mask_prob: _MaskProb = 0.15
    """Share of tokens that are masked in held-out examples, so that models trained with different
    shares are compared on the same task."""
    whole_word_mask: bool = False
    """Masks all pieces of a word or none, as google-research/bert's later checkpoints."""
    segmenter: str = "jieba"
    """How Chinese is split into words for `whole_word_mask`: "jieba", the name of an entry point
    that an installed package has in the group polyseme.segmenters (a function from a text to its
    words), or empty, which takes every character as a word. Cache keys hold only this name: a
    segmenter that changes needs a new name."""
    max_ngram: PositiveInt = 1
    """Words in a row (tokens, without `whole_word_mask`) that are masked together, at most. The
    probability of n words is proportional to 1/n (ALBERT: 3)."""
    short_seq_prob: Share = 0.1
    """Share of examples that aim at a random shorter length."""
    dupe_factor: PositiveInt = 10
    """How often each document of the training split is used, with other masks and cuts each time.
    Held-out documents are used once."""
    min_masked_lm_accuracy: Annotated[Share, Affects.JUDGEMENT] = 0.0
    """Blessing requires at least this accuracy on the test split. The accuracy that a model can
    reach depends on the text, so for spans of different text prefer `min_accuracy_over_unigram`,
    which is relative to a baseline on the same text."""
    min_next_sentence_accuracy: Annotated[Share, Affects.JUDGEMENT] = 0.0
    """Blessing requires at least this accuracy of the next sentence's label."""
    min_accuracy_over_unigram: Annotated[NonNegativeFloat, Affects.JUDGEMENT] = 1.0
    """Blessing requires evidence for a masked-LM accuracy of at least this many times the unigram
    baseline's."""
    min_next_sentence_over_majority: Annotated[NonNegativeFloat, Affects.JUDGEMENT] = 0.0
    """A model is refused on evidence that its accuracy of the next sentence's label is below this
    many times the accuracy of always giving the more frequent label."""
    max_regression: Annotated[NonNegativeFloat | None, Affects.JUDGEMENT] = 0.05
    """Blessing requires evidence that the masked-LM loss (nats per masked token) is at most this
    much above the last blessed model's on the same text. None does not compare."""

    def __post_init__(self) -> None:
        name = _OLD_SEGMENTERS.get(self.segmenter, self.segmenter)
        object.__setattr__(self, "segmenter", name)  # frozen; keys must have one name per setting
        super().__post_init__()

    def metrics(self) -> Sequence[Metric]:
        """See `models.bert.metrics`."""
        return metrics(self)

    def check(self) -> None:
        """Refuses short lengths, masks that do not fit, and settings that have no effect."""
        self._check_length()
        self._check_masks()
        self._check_segmenter()
        for field in ("min_next_sentence_accuracy", "min_next_sentence_over_majority"):
            if self.second_segment == "none" and getattr(self, field) > 0:
                raise self.refused(
                    field,
                    f"it is {getattr(self, field)}, and without a second segment there is no label",
                    "leave it at 0, or choose another model.objective.second_segment",
                )

    @property
    def _special_tokens(self) -> int:
        return 2 if self.second_segment == "none" else 3  # [CLS] A [SEP] B [SEP]

    def _check_length(self) -> None:
        special = self._special_tokens
        least = special + (1 if self.second_segment == "none" else 2)
        if self.sequence_length < least:
            raise self.refused(
                "sequence_length",
                f"{self.sequence_length} tokens have no room for {special} special tokens and a "
                "token of each segment",
                f"give {least} or more",
            )

    def _check_masks(self) -> None:
        special = self._special_tokens
        most = self.sequence_length - special
        if self.max_predictions_per_seq > most:
            raise self.refused(
                "max_predictions_per_seq",
                f"{self.max_predictions_per_seq} tokens cannot be masked of "
                f"{self.sequence_length}, {special} of which are special",
                f"give {most} or fewer",
            )
        for field in ("mask_prob", "eval_mask_prob"):
            masks = round(self.sequence_length * getattr(self, field))
            if self.max_predictions_per_seq < min(masks, most):
                raise self.refused(
                    "max_predictions_per_seq",
                    f"{self.max_predictions_per_seq} positions are fewer than {masks}, the "
                    f"{field} of {self.sequence_length} tokens",
                    f"give {masks} or more, or lower model.objective.{field}",
                )
        if self.max_ngram > self.max_predictions_per_seq:
            raise self.refused(
                "max_ngram",
                f"{self.max_ngram} words in a row are more than the "
                f"{self.max_predictions_per_seq} positions that are masked",
                f"give {self.max_predictions_per_seq} or fewer",
            )

    def _check_segmenter(self) -> None:
        if self.changed("segmenter") and not self.whole_word_mask:
            raise self.refused(
                "segmenter",
                "without whole_word_mask no text is cut into words",
                "set model.objective.whole_word_mask=True, or leave the segmenter out",
            )
        if self.segmenter not in ("", *SEGMENTERS) and (
            self.segmenter not in (registered := registered_segmenters())
        ):
            raise self.refused(
                "segmenter",
                f"there is no word segmenter {self.segmenter!r}",
                f"give one of {', '.join([*SEGMENTERS, *registered])}, or leave it empty to mask "
                f"characters; a package adds one as an entry point of the group {SEGMENTER_GROUP}",
            )


@dataclasses.dataclass(frozen=True)
class BertConfig(FamilyConfig, place="model", affects=Affects.EXAMPLES):
    """All settings of a BERT, without those of data and training."""

    family: Literal["bert"] = "bert"
    backbone: BertBackboneConfig = dataclasses.field(default_factory=lambda: SIZES["base"])
    objective: BertObjectiveConfig = dataclasses.field(default_factory=BertObjectiveConfig)
    tokenizer: WordPieceConfig = dataclasses.field(default_factory=WordPieceConfig)

    def check(self) -> None:
        """Refuses examples with more tokens or segments than the encoder has embeddings for."""
        if self.objective.sequence_length > self.backbone.max_length:
            raise self.objective.refused(
                "sequence_length",
                f"examples of {self.objective.sequence_length} tokens do not fit an encoder with "
                f"{self.backbone.max_length} positions",
                "shorten the examples, or raise model.backbone.max_length",
            )
        if self.objective.second_segment != "none" and self.backbone.num_segments < 2:
            raise self.backbone.refused(
                "num_segments",
                "examples of pairs have two segments, and the encoder has an embedding for one",
                'give 2, or set model.objective.second_segment="none"',
            )


def registered_segmenters() -> Mapping[str, importlib.metadata.EntryPoint]:
    """The word segmenters that installed packages register, by name; none is imported."""
    return {each.name: each for each in importlib.metadata.entry_points(group=SEGMENTER_GROUP)}

"""BERT as a `Family`, which the registry lists. Imports no TensorFlow until a part is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.bert.config import BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.bert.questions import FILL_MASK, NEXT_SENTENCE
from models.family import Family
from models.questions import EMBED

if TYPE_CHECKING:
    from models.bert.backbone import BertEncoder
    from models.bert.objective import BertObjective
    from models.framing import Frame
    from models.tokenizers.wordpiece import WordPieceTokenizer


class BertFamily(Family):
    """See `models.family.Family`."""

    config = BertConfig
    questions = (EMBED, FILL_MASK, NEXT_SENTENCE)
    xla_pays_on = frozenset({"CPU", "CPU, small model", "GPU"})

    @property
    def tokenizer(self) -> type[WordPieceTokenizer]:
        """See `Family.tokenizer`."""
        from models.tokenizers.wordpiece import WordPieceTokenizer

        return WordPieceTokenizer

    @property
    def frame(self) -> Frame:
        """See `models.bert.inputs.frame`."""
        from models.bert.inputs import frame

        return frame

    def build_backbone(
        self, config: BertBackboneConfig, tokenizer: WordPieceTokenizer
    ) -> BertEncoder:
        """See `models.bert.backbone.build_backbone`."""
        from models.bert.backbone import build_backbone

        return build_backbone(config, tokenizer)

    def build_objective(
        self, config: BertObjectiveConfig, tokenizer: WordPieceTokenizer
    ) -> BertObjective:
        """See `models.bert.objective.BertObjective`."""
        from models.bert.objective import BertObjective

        return BertObjective(config, tokenizer)


BERT = BertFamily()

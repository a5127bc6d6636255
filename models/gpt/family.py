"""GPT as a `Family`, which the registry lists. Imports no TensorFlow until a part is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.family import Family
from models.gpt.config import GptBackboneConfig, GptConfig, GptObjectiveConfig
from models.gpt.questions import GENERATE, SCORE
from models.questions import EMBED

if TYPE_CHECKING:
    from models.framing import Frame
    from models.gpt.backbone import GptDecoder
    from models.gpt.objective import GptObjective
    from models.tokenizers.byte_bpe import ByteBpeTokenizer


class GptFamily(Family):
    """See `models.family.Family`."""

    config = GptConfig
    questions = (EMBED, SCORE, GENERATE)
    xla_pays_on = frozenset({"CPU", "CPU, small model", "GPU"})

    @property
    def tokenizer(self) -> type[ByteBpeTokenizer]:
        """See `Family.tokenizer`."""
        from models.tokenizers.byte_bpe import ByteBpeTokenizer

        return ByteBpeTokenizer

    @property
    def frame(self) -> Frame:
        """See `models.gpt.inputs.frame`."""
        from models.gpt.inputs import frame

        return frame

    def build_backbone(self, config: GptBackboneConfig, tokenizer: ByteBpeTokenizer) -> GptDecoder:
        """See `models.gpt.backbone.build_backbone`."""
        from models.gpt.backbone import build_backbone

        return build_backbone(config, tokenizer)

    def build_objective(
        self, config: GptObjectiveConfig, tokenizer: ByteBpeTokenizer
    ) -> GptObjective:
        """See `models.gpt.objective.GptObjective`."""
        from models.gpt.objective import GptObjective

        return GptObjective(config, tokenizer)


GPT = GptFamily()

"""ELMo as a `Family`, which the registry lists. Imports no TensorFlow until a part is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.elmo.config import ElmoBackboneConfig, ElmoConfig, ElmoObjectiveConfig
from models.family import Family

if TYPE_CHECKING:
    from models.elmo.backbone import ElmoEncoder
    from models.elmo.objective import ElmoObjective
    from models.framing import Frame
    from models.tokenizers.character import CharacterTokenizer


class ElmoFamily(Family):
    """See `models.family.Family`."""

    config = ElmoConfig

    @property
    def tokenizer(self) -> type[CharacterTokenizer]:
        """See `Family.tokenizer`."""
        from models.tokenizers.character import CharacterTokenizer

        return CharacterTokenizer

    @property
    def frame(self) -> Frame:
        """See `models.elmo.inputs.frame`."""
        from models.elmo.inputs import frame

        return frame

    def build_backbone(
        self, config: ElmoBackboneConfig, tokenizer: CharacterTokenizer
    ) -> ElmoEncoder:
        """See `models.elmo.backbone.build_backbone`."""
        from models.elmo.backbone import build_backbone

        return build_backbone(config, tokenizer)

    def build_objective(
        self, config: ElmoObjectiveConfig, tokenizer: CharacterTokenizer
    ) -> ElmoObjective:
        """See `models.elmo.objective.ElmoObjective`."""
        from models.elmo.objective import ElmoObjective

        return ElmoObjective(config, tokenizer)


ELMO = ElmoFamily()

"""A family of models, as the registry lists it: its settings, its parts and its questions."""

from __future__ import annotations

import abc
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from models.metric import Metric
from models.questions import EMBED, Question
from models.settings import Affects, Settings
from models.training.config import TrainingConfig

if TYPE_CHECKING:
    from models.backbone import Backbone
    from models.framing import Frame
    from models.objective import Objective
    from models.processor import DeviceKind
    from models.tokenizers.tokenizer import Tokenizer


class ObjectiveConfig(Protocol):
    """The settings of an objective."""

    def metrics(self) -> Sequence[Metric]:
        """The metrics and their bounds; the first is the loss that models are compared by.

        Every numerator and denominator is an output of the objective's model.
        """


class FamilyConfig(Settings, place="model", affects=Affects.EXAMPLES):
    """Base of a family's settings, a frozen dataclass in `models/<family>/config.py`.

    Attributes:
        family: the family's name, which is the default; the type is a `Literal` of it.
        backbone: sizes of the backbone.
        objective: an `ObjectiveConfig`.
        tokenizer: the tokenizer's settings.
    """

    family: str
    backbone: Any
    objective: Any
    tokenizer: Any

    def check_training(self, training: TrainingConfig) -> None:
        """Refuses settings of the training that do not suit the family; by default, none.

        Raises:
            ConfigError: names the setting.
        """


class Family(abc.ABC):
    """A family of models: how its parts are made.

    A family's module `models/<family>/family.py` imports no TensorFlow: methods import what they
    need when they are called, so that a command line can read settings and refuse bad ones at once.

    Attributes:
        config: the family's settings.
        xla_pays_on: device kinds on which XLA makes a training step faster; decision 0026 has the
            measurements.
        questions: what a served model can be asked, if it has the signature.
    """

    config: ClassVar[type[FamilyConfig]]
    xla_pays_on: ClassVar[frozenset[DeviceKind]] = frozenset()
    questions: ClassVar[Sequence[Question]] = (EMBED,)

    @property
    def name(self) -> str:
        """The family's name."""
        return self.config.family

    @property
    def objective_config(self) -> Any:
        """The class of the objective's settings."""
        return typing.get_type_hints(self.config)["objective"]

    @property
    @abc.abstractmethod
    def tokenizer(self) -> type[Tokenizer]:
        """The class that learns, imports and loads the family's tokenizers."""

    @property
    @abc.abstractmethod
    def frame(self) -> Frame:
        """The function that turns token ids into the backbone's inputs."""

    @abc.abstractmethod
    def build_backbone(self, config: Any, tokenizer: Any) -> Backbone:
        """A backbone with new weights; the caller seeds Keras before.

        Args:
            config: the settings of the backbone.
            tokenizer: a tokenizer of the family.
        """

    @abc.abstractmethod
    def build_objective(self, config: Any, tokenizer: Any) -> Objective:
        """The objective.

        Args:
            config: the settings of the objective.
            tokenizer: a tokenizer of the family.
        """

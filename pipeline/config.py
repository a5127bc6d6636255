"""The whole configuration of a pipeline: the settings of all its parts. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import TYPE_CHECKING, Annotated, Union

import pydantic

from components.config import (
    BeamConfig,
    CleaningConfig,
    EvaluationConfig,
    ExamplesConfig,
    IngestionConfig,
    ValidationConfig,
    VocabularyConfig,
)
from components.layout import CONFIG_FILE
from components.search_space import search_space
from components.tuning_config import TuningConfig
from models.errors import ConfigError
from models.family import FamilyConfig
from models.registry import DEFAULT_FAMILY, FAMILIES
from models.renamed_settings import RENAMED, with_new_names
from models.settings import Affects, Settings, from_json
from models.training.config import DevicesConfig, TrainingConfig

if TYPE_CHECKING:
    ModelConfig = FamilyConfig
else:
    ModelConfig = Annotated[
        Union[tuple(family.config for family in FAMILIES.values())],  # noqa: UP007
        pydantic.Field(discriminator="family"),
    ]
    """The settings of one of the registry's families; the field `family` says which."""


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Settings, place="", affects=Affects.NOTHING):
    """Everything that a recipe decides; written as config.json into the pipeline's folder."""

    name: str = "model"
    """Name of the pipeline and of the served model."""
    recipe: str = ""
    """The recipe that this configuration started from."""
    runs: str = "runs"
    """Folder that holds a folder per pipeline."""
    model: ModelConfig = dataclasses.field(default_factory=FAMILIES[DEFAULT_FAMILY].config)
    ingestion: IngestionConfig = dataclasses.field(default_factory=IngestionConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    cleaning: CleaningConfig = dataclasses.field(default_factory=CleaningConfig)
    vocabulary: VocabularyConfig = dataclasses.field(default_factory=VocabularyConfig)
    examples: ExamplesConfig = dataclasses.field(default_factory=ExamplesConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    devices: DevicesConfig = dataclasses.field(default_factory=DevicesConfig)
    tuning: TuningConfig = dataclasses.field(default_factory=TuningConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    beam: BeamConfig = dataclasses.field(default_factory=BeamConfig)
    push_older: Annotated[bool, Affects.JUDGEMENT] = False
    """Push a blessed model even if the served model was trained on more recent text."""
    serving_image: Annotated[
        str, Affects.JUDGEMENT, pydantic.Field(pattern=r"^([\w./:-]+@sha256:[0-9a-f]{64})?$")
    ] = ""
    """Image of TF Serving, `tensorflow/serving@sha256:…`, that loads the model before a push, if
    Docker can start it. A digest is required, because a tag may name another image tomorrow. Empty:
    only ServingCheck loads the model."""

    def check(self) -> None:
        """Refuses parts that contradict each other."""
        self.model.check_training(self.training)
        self.devices.check_training(self.training)
        if self.tuning.trials:
            search_space(self.tuning, self.model, self.training)
        self._check_eval_share()
        self._check_language()
        self._check_vocabulary_rows()

    def _check_eval_share(self) -> None:
        """Refuses an empty split "eval" if a setting needs it."""
        for needs_split, setting in (
            (self.training.eval_steps, "training.eval_steps"),
            (self.training.seeds > 1, "training.seeds above 1"),
            (self.tuning.trials, "tuning.trials"),
        ):
            if needs_split and not self.ingestion.eval_share:
                raise self.ingestion.refused(
                    "eval_share",
                    f'the split "eval", which {setting} needs, has no documents',
                    "set ingestion.eval_share, for example to 0.05, or leave that setting out",
                )

    def _check_language(self) -> None:
        """Refuses a default language whose documents validation would refuse."""
        lang, languages = self.ingestion.lang, self.validation.languages
        if self.ingestion.changed("lang") and lang not in languages:
            raise self.ingestion.refused(
                "lang",
                f"documents of the language {lang!r} would be refused: validation.languages has "
                f"{', '.join(languages) or 'none'}",
                f"add {lang} to validation.languages",
            )

    def _check_vocabulary_rows(self) -> None:
        """Refuses a token embedding with fewer rows than the vocabulary will have entries."""
        # Not every family has this setting.
        rows = getattr(self.model.backbone, "vocabulary_rows", 0)
        entries = self.model.tokenizer.vocabulary_size
        if rows and self.vocabulary.file is None and rows < entries:
            raise self.model.backbone.refused(
                "vocabulary_rows",
                f"{rows} rows are fewer than model.tokenizer.vocabulary_size, {entries}",
                f"give {entries} or more, or 0 for one row per entry",
            )

    @property
    def uses_eval_split(self) -> bool:
        """Whether training, the Tuner or the choice among seeds evaluates on the split "eval"."""
        training = self.training
        return bool(training.eval_steps or training.seeds > 1 or self.tuning.trials)

    def without_effect(self) -> list[str]:
        """A line for each changed setting that has no effect in this configuration."""
        learning = ("min_count", "max_words")
        if self.vocabulary.file is None:
            return []
        return [
            f"vocabulary.{field}={getattr(self.vocabulary, field)} has no effect, as the "
            "vocabulary is read from vocabulary.file"
            for field in learning
            if self.vocabulary.changed(field)
        ]

    @property
    def folder(self) -> pathlib.Path:
        """The pipeline's folder, absolute: metadata, artifacts, logs, served versions."""
        return pathlib.Path(self.runs).absolute() / self.name

    def to_json(self) -> str:
        """The resolved configuration as JSON, keys sorted; `from_json` reads it."""
        return _dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> PipelineConfig:
        """Reads `to_json`'s text; a field that it lacks has its default.

        Raises:
            ConfigError: a field is unknown or has a wrong type or value; names the field.
        """
        return from_json(cls, _in_current_form(text))

    @classmethod
    def read(cls, folder: pathlib.Path) -> PipelineConfig:
        """The configuration of the last run in a pipeline's folder.

        Raises:
            ConfigError: the file cannot be read, is damaged, or was written by an incompatible
                version of Polyseme.
        """
        path = folder / CONFIG_FILE
        remedy = "run the pipeline again with this version of Polyseme, which rewrites the file"
        try:
            return cls.from_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"the configuration cannot be read: {error.strerror}",
                where=str(path),
                remedy=remedy,
            ) from error
        except ConfigError as error:
            raise ConfigError(
                "the configuration is damaged, or was written by another version of Polyseme: "
                f"{error.what}",
                where=f"{path}: {error.where}" if error.where else str(path),
                remedy=remedy,
            ) from error

    def content(self) -> str:
        """JSON of the settings that examples or weights depend on. It contains no paths.

        It is exported with the model. Equal content gives equal bytes on equal devices.
        """
        return _dumps(self.that_affect(Affects.EXAMPLES, Affects.WEIGHTS))

    def fingerprint(self) -> str:
        """SHA-256 of `content`."""
        return hashlib.sha256(self.content().encode()).hexdigest()


def pipeline_folder(runs: str, name: str | None) -> pathlib.Path:
    """A pipeline's folder, absolute; without a name, the folder of the pipeline that ran last.

    Raises:
        ConfigError: no pipeline has run there.
    """
    root = pathlib.Path(runs).expanduser().absolute()
    found = [file for file in root.glob(f"*/{CONFIG_FILE}") if name in (None, file.parent.name)]
    if not found:
        raise ConfigError(
            f"there is no pipeline {name!r}" if name else "no pipeline has run",
            where=str(root),
            remedy="check --runs and --name, or run one: python -m pipeline run RECIPE",
        )
    return max(found, key=lambda file: file.stat().st_mtime).parent


def _in_current_form(text: str | bytes) -> str | bytes:
    """Converts a configuration of an earlier release to the current form.

    Settings had other names, and the only held-out split was `eval`, which models were judged by.
    """
    try:
        fields = with_new_names(json.loads(text))
        for hyperparameter in fields.get("tuning", {}).get("space", ()):
            name = hyperparameter["field"]
            hyperparameter["field"] = RENAMED.get(name, name)
        fields.pop("serve_in_container", None)  # its image had no digest
        ingestion = fields.get("ingestion", {})  # a file for --config may have few settings
        if "eval_shards" not in ingestion:
            return json.dumps(fields)
        ingestion["held_out_shards"] = ingestion.pop("eval_shards")
        ingestion["test_share"], ingestion["eval_share"] = ingestion["eval_share"], 0.0
        # Evaluation during training and trials used the split that now is `test`.
        fields["training"].update(eval_steps=0, patience=0)
        fields["tuning"] = {}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return text  # `from_json` reports what is wrong
    return json.dumps(fields)


def _dumps(fields: dict) -> str:
    return json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

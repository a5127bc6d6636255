"""A run's whole configuration, composed of its owners' configurations. Free of TensorFlow."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Annotated

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
from models.bert.config import BertConfig
from models.elmo.config import ElmoConfig
from models.errors import ConfigError
from models.gpt.config import GptConfig
from models.renamed_settings import RENAMED, with_new_names
from models.settings import Affects, Settings, from_json
from models.training.config import DevicesConfig, TrainingConfig


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Settings, place="", affects=Affects.NOTHING):
    """Everything that a recipe decides; written as config.json into the run's folder."""

    name: str = "model"
    """Name of the pipeline and of the served model."""
    recipe: str = ""
    """The recipe that this configuration started from."""
    runs: str = "runs"
    """Folder that holds a folder per pipeline."""
    model: Annotated[
        ElmoConfig | BertConfig | GptConfig, pydantic.Field(discriminator="family")
    ] = dataclasses.field(default_factory=BertConfig)
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
    """Push a blessed model also where the served one has seen more recent text."""
    serving_image: Annotated[
        str, Affects.JUDGEMENT, pydantic.Field(pattern=r"^([\w./:-]+@sha256:[0-9a-f]{64})?$")
    ] = ""
    """Image of TF Serving, `tensorflow/serving@sha256:…`, that loads the model before a push where
    Docker can start it. The digest is of what was looked at: a tag may be another image tomorrow.
    Empty: only ServingCheck loads it."""

    def check(self) -> None:
        """Refuses parts that do not suit one another."""
        self.model.check_training(self.training)
        self.devices.check_training(self.training)
        if self.tuning.trials:
            search_space(self.tuning, self.model, self.training)
        for looks, setting in (
            (self.training.eval_steps, "training.eval_steps"),
            (self.training.seeds > 1, "training.seeds above 1"),
            (self.tuning.trials, "tuning.trials"),
        ):
            if looks and not self.ingestion.eval_share:
                raise self.ingestion.refused(
                    "eval_share",
                    f"no document is held out for what {setting} looks at",
                    "set ingestion.eval_share, to 0.05 say, or leave the other out",
                )
        lang, languages = self.ingestion.lang, self.validation.languages
        if self.ingestion.changed("lang") and lang not in languages:
            raise self.ingestion.refused(
                "lang",
                f"documents of the language {lang!r} would be refused: validation.languages has "
                f"{', '.join(languages) or 'none'}",
                "add it there",
            )

        self._check_vocabulary_rows()

    def _check_vocabulary_rows(self) -> None:
        """Refuses an embedding with fewer rows than the vocabulary that is to be learned."""
        rows = getattr(self.model.backbone, "vocabulary_rows", 0)  # ELMo reads characters
        entries = self.model.tokenizer.vocabulary_size
        if rows and self.vocabulary.file is None and rows < entries:
            raise self.model.backbone.refused(
                "vocabulary_rows",
                f"{rows} rows are fewer than model.tokenizer.vocabulary_size, {entries}",
                f"give {entries} or more, or 0 for as many as there are entries",
            )

    @property
    def looks(self) -> bool:
        """Whether training, the Tuner or the choice among seeds looks at the split "eval"."""
        training = self.training
        return bool(training.eval_steps or training.seeds > 1 or self.tuning.trials)

    def without_effect(self) -> list[str]:
        """Settings that a recipe may have and that have no effect in this run, a line each."""
        counted = ("min_count", "max_words")
        if self.vocabulary.file is None:
            return []
        return [
            f"vocabulary.{field}={getattr(self.vocabulary, field)} has no effect, as the "
            "vocabulary is read from vocabulary.file"
            for field in counted
            if self.vocabulary.changed(field)
        ]

    @property
    def folder(self) -> pathlib.Path:
        """The pipeline's own folder, absolute: metadata, artifacts, logs, served versions."""
        return pathlib.Path(self.runs).absolute() / self.name

    def to_json(self) -> str:
        """The resolved configuration, keys sorted, to be read and to be read back."""
        return _dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> PipelineConfig:
        """Reads `to_json`'s text; a field that it lacks has its default.

        Raises:
            ConfigError: naming the field that is unknown or of the wrong type.
        """
        return from_json(cls, _with_todays_names(text))

    @classmethod
    def read(cls, folder: pathlib.Path) -> PipelineConfig:
        """The configuration of the last run in a pipeline's folder.

        Raises:
            ConfigError: its file cannot be read, or was written by other code or damaged.
        """
        path = folder / CONFIG_FILE
        remedy = "run the pipeline again with this code, which writes the file anew"
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
                f"the configuration is damaged or of another version of Polyseme: {error.what}",
                where=f"{path}: {error.where}" if error.where else str(path),
                remedy=remedy,
            ) from error

    def content(self) -> str:
        """JSON of the settings that the examples or the weights depend on; no path is among them.

        It is exported with the model, so the same content gives the same bytes on the same devices.
        """
        return _dumps(self.that_affect(Affects.EXAMPLES, Affects.WEIGHTS))

    def fingerprint(self) -> str:
        """SHA-256 of `content`."""
        return hashlib.sha256(self.content().encode()).hexdigest()


def pipeline_folder(runs: str, name: str | None) -> pathlib.Path:
    """A pipeline's folder, absolute; the one that ran last if no name is given.

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


def _with_todays_names(text: str | bytes) -> str | bytes:
    """A configuration of an earlier release, in the form that it has now.

    Settings had other names, and there was one held-out split, `eval`, that models were judged by.
    """
    try:
        fields = with_new_names(json.loads(text))
        for each in fields.get("tuning", {}).get("space", ()):
            each["field"] = RENAMED.get(each["field"], each["field"])
        fields.pop("serve_in_container", None)  # of an image without a digest
        ingestion = fields["ingestion"]
        if "eval_shards" not in ingestion:
            return json.dumps(fields)
        ingestion["held_out_shards"] = ingestion.pop("eval_shards")
        ingestion["test_share"], ingestion["eval_share"] = ingestion["eval_share"], 0.0
        # It took no least number of documents; looks and trials were at the same split.
        fields["training"].update(eval_steps=0, patience=0)
        fields["tuning"] = {}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return text  # what is wrong with it is said by who reads it
    return json.dumps(fields)


def _dumps(fields: dict) -> str:
    return json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

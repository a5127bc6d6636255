"""Resolver of what a training builds on: the model that it starts from, and older documents."""

from __future__ import annotations

import os
from collections.abc import Container

from ml_metadata import MetadataStore
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from components.lineage.model_origin import spans_of
from components.lineage.properties import EVALUATION, TEST_SHARE
from components.lineage.pushed_models import (
    Artifacts,
    first_run_limit,
    models_before,
    newest_pushed,
    pushed_versions,
)
from components.lineage.span_label import span_label
from models.errors import ConfigError


class TrainingStart(ResolverStrategy):
    """Finds the model whose weights training starts from, and documents of older spans.

    Inputs: those of `LastBlessedModel`, and `approval` (DataApproval) and `documents` (Examples).

    By default the model is the pushed model that has seen the newest text, among those that were
    not trained on this run's span. So a span that arrives late is trained on from the newest model,
    and the same span with other settings starts from the model that the first run on it started
    from; see `TrainingConfig.start`.

    The documents are what TextCleaner kept of the newest approved spans before this span, or of
    spans that the model has seen; see `TrainingConfig.window`. A rerun finds the documents that the
    first run on its span found.
    """

    def __init__(
        self,
        span: int,
        fingerprint: str,
        start: str,
        test_share: float,
        window: int,
        evaluation: str = "",
    ) -> None:
        self._span = span
        self._fingerprint = fingerprint
        self._start = start
        self._test_share = test_share
        self._window = window
        self._evaluation = evaluation

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns the model and its blessing, or empty lists for new weights; and the documents.

        Raises:
            ConfigError: no such version was pushed, the model's folder is gone, or another share
                of the documents was held out for the model's tests, so it was trained on documents
                that this run would test on.
        """
        start = self._resolve_model(store, input_dict)
        seen: set[int] = set()
        for model in start["model"]:
            seen.update(spans_of(model))
            self._check_test_share(model)
        older = self._older_documents(store, input_dict, seen)
        return {**start, "approval": [], "documents": older}

    def _check_test_share(self, model: Artifact) -> None:
        """Checks that the same share of the documents was held out for the model's tests."""
        # Earlier releases had two splits, and evaluated models on `eval_share` of the documents.
        share = model.get_float_custom_property(TEST_SHARE) or model.get_float_custom_property(
            "eval_share"
        )
        if share and share != self._test_share:
            raise ConfigError(
                f"ingestion.test_share is {self._test_share}, and was {share} for the model that "
                "training starts from: that model was trained on documents that would be tested on "
                "now",
                where="ingestion.test_share",
                remedy=f"set it to {share}, or train from new weights with training.start=scratch",
            )

    def _older_documents(
        self, store: MetadataStore, input_dict: Artifacts, seen: Container[int]
    ) -> list[Artifact]:
        """The documents of the other spans in the window, by ascending span.

        Raises:
            ConfigError: documents of such a span were removed, or were split or cleaned with other
                settings, so they may contain text that this run tests on.
        """
        if self._window == 1:
            return []
        approvals = sorted(input_dict["approval"], key=lambda approval: approval.id)
        models = input_dict["model"]
        limit = first_run_limit(store, models, approvals, span=self._span, start=self._start)
        approved = {
            approval.span: approval.cleaned_id
            for approval in approvals
            if approval.id < limit
            and approval.span != self._span
            and (approval.span < self._span or approval.span in seen)
        }
        newest = sorted(approved, reverse=True)
        chosen = newest[: self._window - 1] if self._window else newest
        documents = {artifact.id: artifact for artifact in input_dict["documents"]}
        for span in chosen:
            self._check_documents(span, documents.get(approved[span]))
        return [documents[approved[span]] for span in sorted(chosen)]

    def _check_documents(self, span: int, documents: Artifact | None) -> None:
        """Checks that the documents of an older span can be trained on again."""
        documents_of_span = f"the documents of span {span_label(span)}, which is in the window,"
        rerun = "run the pipeline on that span again, or train on fewer spans with training.window"
        if documents is None or not os.path.isdir(documents.uri):
            raise ConfigError(
                f"{documents_of_span} were removed", where="training.window", remedy=rerun
            )
        share = documents.get_float_custom_property(TEST_SHARE)
        if not share:
            raise ConfigError(
                f"{documents_of_span} were made by an earlier release, which did not record their "
                "test_share",
                where="training.window",
                remedy=rerun,
            )
        if share != self._test_share:
            raise ConfigError(
                f"ingestion.test_share is {self._test_share}; {documents_of_span} were split with "
                f"{share}",
                where="ingestion.test_share",
                remedy=f"set it to {share}; {rerun}",
            )
        if documents.get_string_custom_property(EVALUATION) != self._evaluation:
            raise ConfigError(
                f"{documents_of_span} were cleaned with other evaluation texts",
                where="cleaning.evaluation_texts",
                remedy=rerun,
            )

    def _resolve_model(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        older = models_before(store, input_dict, self._fingerprint)
        if self._start == "scratch":
            return newest_pushed(store, input_dict, ())
        if self._start == "last_blessed":
            return newest_pushed(store, input_dict, older)
        if self._start == "auto":
            other = (model for model in older if self._span not in spans_of(model))
            return newest_pushed(store, input_dict, other)
        pushed = pushed_versions(store)
        chosen = [model for model in input_dict["model"] if pushed.get(model.id) == self._start]
        if not chosen:
            raise ConfigError(
                f"version {self._start} was not pushed",
                where="training.start",
                remedy=f"give one of: {', '.join(sorted(pushed.values())) or 'none yet'}",
            )
        return newest_pushed(store, input_dict, chosen)

"""What a run's training builds on: the weights that it begins with, and text of older spans."""

from __future__ import annotations

import os
from collections.abc import Container

from ml_metadata import MetadataStore
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from components.lineage.properties import EVALUATION, TEST_SHARE
from components.lineage.resolvers import (
    Models,
    first_of_pushed_span,
    newest_pushed,
    older_than_own,
    pushed_versions,
    spans_of,
)
from components.lineage.span_label import span_label
from models.errors import ConfigError


class TrainingStart(ResolverStrategy):
    """What training builds on: the model whose weights it begins with, and older text.

    Inputs: as those of `LastBlessedModel`, `approval` (DataApproval) and `documents` (Examples).

    By default the model is the pushed one that has seen the newest text, of those that were not
    trained on this run's span: late text is trained on from the newest model, and the same span
    with other settings begins where the first run on it did; see `TrainingConfig.start`.

    The documents are those that the cleaning left of the newest approved spans, see
    `TrainingConfig.window`; of spans before this one, or that the model has seen. A rerun finds
    those that the first run on its span found.
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

    def resolve_artifacts(self, store: MetadataStore, input_dict: Models) -> Models:
        """The model and its blessing, or empty lists, which means new weights; and the documents.

        Raises:
            ConfigError: no such version was pushed, the model's folder is gone, or it had another
                share of the documents to test on, so that it was trained on some of those that
                this run would test on.
        """
        found = self._resolve(store, input_dict)
        seen: set[int] = set()
        for model in found["model"]:
            seen.update(spans_of(model))
            # An older release had two splits, and called the share of the one that it judged by so.
            had = model.get_float_custom_property(TEST_SHARE) or model.get_float_custom_property(
                "eval_share"
            )
            if had and had != self._test_share:
                raise ConfigError(
                    f"ingestion.test_share is {self._test_share}; the model that training starts "
                    f"from had {had}, and was trained on documents that would be tested on now",
                    where="ingestion.test_share",
                    remedy=f"set it to {had}, or begin anew with training.start=scratch",
                )
        older = self._older(store, input_dict, seen)
        return {**found, "approval": [], "documents": older}

    def _older(
        self, store: MetadataStore, input_dict: Models, seen: Container[int]
    ) -> list[Artifact]:
        """The documents of the window's other spans, in the order of their numbers.

        Raises:
            ConfigError: the documents of one were removed, or were split or cleaned otherwise, so
                that text that is tested on now may be among them.
        """
        if self._window == 1:
            return []
        approvals = sorted(input_dict["approval"], key=lambda approval: approval.id)
        models = input_dict["model"]
        first = first_of_pushed_span(store, models, approvals, span=self._span, start=self._start)
        approved = {
            approval.span: approval.cleaned_id
            for approval in approvals
            if approval.id < first
            and approval.span != self._span
            and (approval.span < self._span or approval.span in seen)
        }
        newest = sorted(approved, reverse=True)
        chosen = newest[: self._window - 1] if self._window else newest
        documents = {artifact.id: artifact for artifact in input_dict["documents"]}
        for span in chosen:
            self._check(span, documents.get(approved[span]))
        return [documents[approved[span]] for span in sorted(chosen)]

    def _check(self, span: int, documents: Artifact | None) -> None:
        """Checks that the documents of an older span can be trained on again."""
        label = span_label(span)
        alone = "train on fewer spans (training.window)"
        if documents is None or not os.path.isdir(documents.uri):
            raise ConfigError(
                f"the documents of span {label}, which is in the window, are not there any more",
                where="training.window",
                remedy=f"run the pipeline on that span again, or {alone}",
            )
        share = documents.get_float_custom_property(TEST_SHARE)
        if not share:
            raise ConfigError(
                f"the documents of span {label}, which is in the window, do not say how they were "
                "split: an older release made them",
                where="training.window",
                remedy=f"run the pipeline on that span again, or {alone}",
            )
        if share != self._test_share:
            raise ConfigError(
                f"ingestion.test_share is {self._test_share}; the documents of span {label}, which "
                f"is in the window, were split with {share}",
                where="ingestion.test_share",
                remedy=f"set it to {share}, run the pipeline on that span again, or {alone}",
            )
        if documents.get_string_custom_property(EVALUATION) != self._evaluation:
            raise ConfigError(
                f"other evaluation texts were kept out of the documents of span {label}, which is "
                "in the window",
                where="cleaning.evaluation_texts",
                remedy=f"run the pipeline on that span again, or {alone}",
            )

    def _resolve(self, store: MetadataStore, input_dict: Models) -> Models:
        older = older_than_own(store, input_dict, self._fingerprint)
        if self._start == "scratch":
            return newest_pushed(store, input_dict, ())
        if self._start == "last_blessed":
            return newest_pushed(store, input_dict, older)
        if self._start == "auto":
            other = (model for model in older if self._span not in spans_of(model))
            return newest_pushed(store, input_dict, other)
        pushed = pushed_versions(store)
        wanted = [model for model in input_dict["model"] if pushed.get(model.id) == self._start]
        if not wanted:
            raise ConfigError(
                f"version {self._start} was not pushed",
                where="training.start",
                remedy=f"give one of: {', '.join(sorted(pushed.values())) or 'none yet'}",
            )
        return newest_pushed(store, input_dict, wanted)

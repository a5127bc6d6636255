"""Graphs of a tiny BERT pipeline on a literal span, for tests of pipeline/dag.py and its phases."""

from __future__ import annotations

import dataclasses

from tfx import v1 as tfx

from components.tuning_config import TuningConfig
from pipeline.code_versions import STEPS, TRAINING
from pipeline.config import PipelineConfig
from pipeline.dag import create_pretraining_pipeline
from pipeline.overrides import apply_overrides
from pipeline.recipes import RECIPES
from tests.pipeline.provenance import PROVENANCE

IMAGE = f"tensorflow/serving@sha256:{'0a' * 32}"
CODE = {step: f"code of {step}" for step in (*STEPS, TRAINING)}


def graph(docker: bool = False, config: PipelineConfig | None = None) -> tfx.dsl.Pipeline:
    """The graph of a configuration, of `bert_tiny` by default."""
    config = config or dataclasses.replace(RECIPES["bert_tiny"](), name="mine", runs="/runs")
    if docker:
        config = dataclasses.replace(config, serving_image=IMAGE)
    return create_pretraining_pipeline(config, PROVENANCE, ["/texts/03.jsonl"], CODE, docker=docker)


def tuning() -> PipelineConfig:
    """`bert_tiny` with four trials of ten steps."""
    tiny = apply_overrides(RECIPES["bert_tiny"](), ["ingestion.eval_share=0.1"])
    return dataclasses.replace(tiny, name="mine", runs="/runs", tuning=TuningConfig(4, 10))


def parameters(component: str) -> dict[str, object]:
    """The execution properties of a component of `graph()`."""
    (node,) = [node for node in graph().components if node.id == component]
    return dict(node.exec_properties)

"""The provenance of a run of a tiny BERT on one span, for tests."""

from pipeline.provenance import Provenance

PROVENANCE = Provenance(
    name="mine",
    recipe="bert_tiny",
    span=3,
    label="03",
    pattern="/texts/{SPAN}.jsonl",
    corpus="c0ffee",
    config="feed",
    evaluation="e7a1",
    vocabulary="",
    code="c0de",
    start="auto",
    window=1,
    commit="1a2b3c4",
)

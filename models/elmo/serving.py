"""ELMo's signatures: raw strings in, dense padded tensors out, batch dimension first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.elmo.inputs import frame
from models.elmo.pretraining import ElmoPretraining
from models.text_vectors import vector_requests, vector_signatures
from models.tokenizers.tokenizer import Tokenizer


def make_signatures(model: ElmoPretraining, tokenizer: Tokenizer) -> Mapping[str, Callable]:
    """`serving_default` and `hidden_states`.

    Texts of any length may share a batch. Each text is read as one sentence between <S> and </S>,
    as in training, so an empty text is these two markers.
    """
    return vector_signatures(model.backbone, tokenizer, frame)


def warmup_requests() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests that a server answers before it takes others."""
    return vector_requests()

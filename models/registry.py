"""The list of families: a new family is a folder in `models/` and a line here.

Importing this module imports the families' settings, and no TensorFlow.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping

from models.family import Family

FAMILIES: Mapping[str, Family] = {
    name: pkgutil.resolve_name(place)
    for name, place in {
        "elmo": "models.elmo.family:ELMO",
        "bert": "models.bert.family:BERT",
        "gpt": "models.gpt.family:GPT",
    }.items()
}

DEFAULT_FAMILY = "bert"
"""The family of a configuration that names none."""

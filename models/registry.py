"""The one list of families: a newcomer is a folder and a row here."""

from __future__ import annotations

from collections.abc import Mapping

from models.bert.backbone import build_backbone as build_bert_backbone
from models.bert.config import BertConfig
from models.bert.metrics import metrics as bert_metrics
from models.bert.objective import BertObjective
from models.elmo.backbone import build_backbone as build_elmo_backbone
from models.elmo.config import ElmoConfig
from models.elmo.metrics import metrics as elmo_metrics
from models.elmo.objective import ElmoObjective
from models.gpt.backbone import build_backbone as build_gpt_backbone
from models.gpt.config import GptConfig
from models.gpt.metrics import metrics as gpt_metrics
from models.gpt.objective import GptObjective
from models.objective import Family
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.byte_bpe_vocabulary import import_vocabulary as import_byte_bpe_vocabulary
from models.tokenizers.byte_bpe_vocabulary import learn as learn_byte_bpe
from models.tokenizers.character import CharacterTokenizer
from models.tokenizers.character import import_vocabulary as import_words
from models.tokenizers.character import learn as learn_words
from models.tokenizers.vocabulary import import_vocabulary as import_wordpiece_vocabulary
from models.tokenizers.vocabulary import learn as learn_wordpiece
from models.tokenizers.wordpiece import WordPieceTokenizer

FAMILIES: Mapping[str, Family] = {
    "elmo": Family(
        name="elmo",
        config=ElmoConfig,
        tokenizer=CharacterTokenizer,
        learn=learn_words,
        import_vocabulary=import_words,
        build_backbone=build_elmo_backbone,
        build_objective=ElmoObjective,
        metrics=elmo_metrics,
    ),
    "bert": Family(
        name="bert",
        config=BertConfig,
        tokenizer=WordPieceTokenizer,
        learn=learn_wordpiece,
        import_vocabulary=import_wordpiece_vocabulary,
        build_backbone=build_bert_backbone,
        build_objective=BertObjective,
        metrics=bert_metrics,
        xla_pays_on=frozenset({"CPU", "CPU, small model", "GPU"}),
    ),
    "gpt": Family(
        name="gpt",
        config=GptConfig,
        tokenizer=ByteBpeTokenizer,
        learn=learn_byte_bpe,
        import_vocabulary=import_byte_bpe_vocabulary,
        build_backbone=build_gpt_backbone,
        build_objective=GptObjective,
        metrics=gpt_metrics,
        xla_pays_on=frozenset({"CPU", "CPU, small model", "GPU"}),
    ),
}

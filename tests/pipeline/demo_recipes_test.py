"""The bounds of the demo recipes: a blessed model has learned its tasks."""

from models.bert.config import BertConfig
from pipeline.demo_recipes import bert_demo, elmo_demo, gpt_demo


def test_bert_is_blessed_only_if_it_learned_both_tasks() -> None:
    model = bert_demo().model
    assert isinstance(model, BertConfig)
    assert model.objective.min_accuracy_over_unigram == 3.0
    assert model.objective.min_next_sentence_over_majority == 1.0
    assert model.objective.eval_mask_prob == 0.15


def test_language_models_are_blessed_only_if_they_beat_bigrams() -> None:
    for config in (elmo_demo(), gpt_demo()):
        assert config.model.objective.max_loss_over_bigram < 1.0

"""BERT: a Transformer encoder trained on masked words and next sentences (Devlin et al., 2019)."""

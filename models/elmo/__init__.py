"""ELMo: language models in both directions over words seen as characters (Peters et al., 2018)."""

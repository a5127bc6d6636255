"""GPT: a Transformer decoder that predicts the next token (Radford et al., 2018, 2019)."""

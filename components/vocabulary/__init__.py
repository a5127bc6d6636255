"""Vocabulary: a span's documents become a tokenizer."""

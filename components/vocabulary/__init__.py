"""Vocabulary: makes a tokenizer from a span's documents, a file or the base model."""

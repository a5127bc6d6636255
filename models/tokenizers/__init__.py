"""Tokenizers: text to ids as one TensorFlow graph function, one class per published algorithm."""

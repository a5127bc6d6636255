"""Benchmarks. oneDNN is turned on or off as for training, before TensorFlow is imported."""

from models.processor import choose_onednn

choose_onednn("training")

"""Names of the files that training writes and other code reads; free of TensorFlow."""

LOGS_FOLDER = "logs"
"""In a training's folder: TensorBoard's events, the training log and the list of platforms."""
TRAINING_LOG = "training.jsonl"
"""The training log: one JSON object per logged step, see models/training/record.py."""

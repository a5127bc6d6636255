"""Names of the files that training writes and other code reads; imports no TensorFlow."""

LOGS_FOLDER = "logs"
"""In the folder of a training: TensorBoard's events, the training log and the list of platforms."""
TRAINING_LOG = "training.jsonl"
"""The training log: one JSON object per logged step, see models/training/metrics_writer.py."""

"""Pure TensorFlow, Keras and NumPy: families, objectives, tokenizers, the training loop."""

"""Text to ids as one TensorFlow graph function (law 4), one class per published algorithm."""

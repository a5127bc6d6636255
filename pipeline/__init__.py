"""When and where steps run: configuration, spans, the graph, runs and their metadata."""

__version__ = "0.1.0"

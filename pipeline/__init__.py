"""When and where: configuration, spans, the graph of components, runs and their metadata."""

__version__ = "0.1.0"

"""When and where: configuration, spans, the graph of components, runs and their metadata."""

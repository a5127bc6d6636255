"""The metadata of a pipeline: its database, its runs, and the lineage of its versions."""

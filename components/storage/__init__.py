"""Storage: files that steps write atomically, cache, and exchange between Beam workers."""

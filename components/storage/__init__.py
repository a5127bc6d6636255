"""Files that steps write and read: published whole or not at all, grouped by key."""

"""The charts: rendered by both versions of Helm, and read as a cluster would."""

"""The configuration: one YAML file, its schema, and the settings that come out of it."""

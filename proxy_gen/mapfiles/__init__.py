"""The dialects of mapping files: writers, and readers that read as the consumer does. Text in, text out."""

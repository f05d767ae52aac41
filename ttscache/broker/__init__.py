"""The use cases: sessions with issuers, credentials, and what consumers must trust. Knows neither HTTP nor files."""

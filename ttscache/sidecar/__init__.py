"""The agent beside a consumer: keeps its credential files fresh."""

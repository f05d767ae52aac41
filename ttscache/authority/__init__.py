"""Where the signing authority's certificate and key are kept."""

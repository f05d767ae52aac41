"""Who presents a token: issuers, their discovery documents and keys, and the verification of tokens."""

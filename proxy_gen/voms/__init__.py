"""VOMS attribute certificates (RFC 5755 with the VOMS profile): who of which group and role a proxy's holder is."""

"""Grid credentials: distinguished names, certificates, RFC 3820 proxies, their files and their verification.

A library of values: bytes and ``now`` go in, values come out. No network, no event loop, no configuration, no tokens.
Every error is a :class:`proxy_gen.errors.ProxyGenError` with a stable ``code``.
"""

"""What the daemon counts and measures, in the words of Prometheus; each metric has its one name here.

Labels are names out of the configuration and codes: never of an identity, of which there are too many, and never of
anything that a caller sent.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# when a counter began is known by the process that has it; a series more for each would be for nobody
disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves its type out
REGISTRY = CollectorRegistry(auto_describe=True)

REQUESTS = Counter(
    "ttscache_requests",
    "Requests answered, by the route as it is written here.",
    ["route", "status"],
    registry=REGISTRY,
)
REFUSALS = Counter("ttscache_refusals", "Requests that were refused or failed, by code.", ["code"], registry=REGISTRY)
ISSUED = Counter("ttscache_issued", "Credentials issued, by profile.", ["profile"], registry=REGISTRY)
CACHE = Counter(
    "ttscache_cache",
    "Answers from the cache of credentials: `fresh`; past the `soft` age, served and renewed behind; past the `hard`"
    " age, or not there (`miss`): made while the caller waited.",
    ["age"],
    registry=REGISTRY,
)
RENEWALS = Counter("ttscache_renewals", "Credentials renewed behind, by outcome.", ["outcome"], registry=REGISTRY)
FLIGHTS_JOINED = Counter(
    "ttscache_flights_joined", "Callers that waited for what another had begun.", ["kind"], registry=REGISTRY
)
SESSIONS_OPENED = Counter("ttscache_sessions_opened", "Sessions opened.", ["issuer"], registry=REGISTRY)
SESSIONS_REFRESHED = Counter("ttscache_sessions_refreshed", "Sessions confirmed.", ["issuer"], registry=REGISTRY)
SESSIONS_ENDED = Counter(
    "ttscache_sessions_ended",
    "Sessions ended: `refused` by the issuer, `lost` with the answer to a refresh, `revoked` here.",
    ["issuer", "reason"],
    registry=REGISTRY,
)
UPSTREAM_SECONDS = Histogram(
    "ttscache_upstream_seconds",
    "How long calls to issuers' token endpoints took: `granted`, `refused`, or `failed`.",
    ["issuer", "grant", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 40),
    registry=REGISTRY,
)

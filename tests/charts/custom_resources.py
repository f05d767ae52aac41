"""Schemas of the custom resources that charts render, with the fields that they use: a misspelt one is a fault."""

from tests.charts.objects import Json

_TEXT, _NUMBER, _SWITCH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_NAME = {"type": "string", "minLength": 1}
_MAP = {"type": "object", "additionalProperties": _TEXT}
# Prometheus and Go write durations differently
_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$"}
_GO_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|[smh]))+$"}


def _map(*required: str, **properties: Json) -> Json:
    shape: Json = {"type": "object", "additionalProperties": False, "properties": properties}
    return shape | ({"required": list(required)} if required else {})


def _list(items: Json) -> Json:
    return {"type": "array", "minItems": 1, "items": items}


def _kind(api_version: str, kind: str, spec: Json) -> tuple[str, Json]:
    return f"{api_version}/{kind}", _map(
        *("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=_map("name", name=_NAME, namespace=_NAME, labels=_MAP, annotations=_MAP),
        spec=spec,
    )


_RULE = {
    "oneOf": [
        _map("record", "expr", record=_NAME, expr=_TEXT, labels=_MAP),
        _map("alert", "expr", alert=_NAME, expr=_TEXT, labels=_MAP, annotations=_MAP, **{"for": _DURATION}),
    ]
}
_ENDPOINT = _map(
    "port",
    port=_NAME,
    path=_TEXT,
    scheme={"enum": ["http", "https"]},
    interval=_DURATION,
    scrapeTimeout=_DURATION,
    relabelings=_list(_map("targetLabel", "replacement", targetLabel=_NAME, replacement=_NAME)),
    tlsConfig=_map(
        serverName=_TEXT,
        insecureSkipVerify=_SWITCH,
        ca=_map(
            secret=_map("name", "key", name=_NAME, key=_NAME), configMap=_map("name", "key", name=_NAME, key=_NAME)
        ),
    ),
)
_SCALING = _map(
    stabilizationWindowSeconds=_NUMBER,
    policies=_list(_map("type", "value", "periodSeconds", type=_NAME, value=_NUMBER, periodSeconds=_NUMBER)),
)

SCHEMAS = dict(
    (
        _kind(
            "monitoring.coreos.com/v1",
            "PodMonitor",
            _map(
                *("selector", "podMetricsEndpoints"),
                selector=_map("matchLabels", matchLabels=_MAP),
                jobLabel=_NAME,
                podMetricsEndpoints=_list(_ENDPOINT),
            ),
        ),
        _kind(
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            _map("groups", groups=_list(_map("name", "rules", name=_NAME, interval=_DURATION, rules=_list(_RULE)))),
        ),
        _kind("cert-manager.io/v1", "Issuer", _map(selfSigned=_map(), ca=_map("secretName", secretName=_NAME))),
        _kind(
            "cert-manager.io/v1",
            "Certificate",
            _map(
                *("secretName", "issuerRef"),
                secretName=_NAME,
                issuerRef=_map(
                    *("name", "kind"),
                    name=_NAME,
                    kind={"enum": ["Issuer", "ClusterIssuer"]},
                    group={"const": "cert-manager.io"},
                ),
                # RFC 5280, upper bound of a common name
                commonName={"type": "string", "maxLength": 64},
                dnsNames=_list(_NAME),
                ipAddresses=_list(_NAME),
                isCA=_SWITCH,
                usages=_list(_NAME),
                duration=_GO_DURATION,
                renewBefore=_GO_DURATION,
                privateKey=_map(
                    algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
                    size=_NUMBER,
                    encoding={"enum": ["PKCS1", "PKCS8"]},
                    rotationPolicy={"enum": ["Never", "Always"]},
                ),
            ),
        ),
        _kind(
            "keda.sh/v1alpha1",
            "ScaledObject",
            _map(
                *("scaleTargetRef", "triggers"),
                scaleTargetRef=_map("name", apiVersion=_NAME, kind=_NAME, name=_NAME),
                pollingInterval=_NUMBER,
                cooldownPeriod=_NUMBER,
                minReplicaCount=_NUMBER,
                maxReplicaCount=_NUMBER,
                fallback=_map("failureThreshold", "replicas", failureThreshold=_NUMBER, replicas=_NUMBER),
                advanced=_map(
                    restoreToOriginalReplicaCount=_SWITCH,
                    horizontalPodAutoscalerConfig=_map(behavior=_map(scaleUp=_SCALING, scaleDown=_SCALING)),
                ),
                # whatever the trigger, its metadata are texts
                triggers=_list(_map("type", "metadata", type=_NAME, name=_NAME, metricType=_NAME, metadata=_MAP)),
            ),
        ),
    )
)

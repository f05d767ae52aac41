{{/*
Pieces of NetworkPolicies. Each component has one policy of both types, which denies what it does not name; the flows that
are let through are the table of docs/flows.md.
*/}}

{{/* The head of a component's policy: (dict "root" $ "component" "cache" "name" NAME). Rules follow under `spec`. */}}
{{- define "library.networkPolicy.head" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "library.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}

{{/* Pods of the site, in this namespace, as one peer: (dict "name" "wn" "component" "startd"). */}}
{{- define "library.peer" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/part-of: stateless-site
      app.kubernetes.io/name: {{ .name }}
      app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The world, less the address where clouds hand out their own credentials. */}}
{{- define "library.anywhere" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: [169.254.169.254/32]
- ipBlock:
    cidr: "::/0"
    except: ["fd00:ec2::254/128"]
{{- end -}}

{{/* Names are looked up in kube-system, or at the node's own cache (NodeLocal DNSCache's default address). */}}
{{- define "library.egress.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    - ipBlock: {cidr: 169.254.20.10/32}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Credentials are fetched from the daemon. */}}
{{- define "library.egress.ttscache" -}}
- to:
    {{- include "library.peer" (dict "name" "ttscache" "component" "daemon") | nindent 4 }}
  ports:
    - {port: 8443, protocol: TCP}
{{- end -}}

{{/* Prometheus comes from its namespace: (dict "root" $ "ports" (list "metrics")), ports by name or number. */}}
{{- define "library.ingress.monitoring" -}}
- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .root.Values.metrics.namespace }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/*
Metadata of an object that is there before all others, and while the keys' Secret is made: (dict "root" $ "weight" -1
"then" "hook-succeeded"). The rights go when the Job is done; the Job stays until the next, for its log.
*/}}
{{- define "ttscache.keysMetadata" -}}
name: {{ include "library.fullname" .root }}-keys
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "library.labels" (dict "root" .root "component" "keys") | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: {{ list "before-hook-creation" .then | compact | join "," }}
{{- end -}}

{{/* What `ttscache ca init` needs to be told: the CA, and as little else as makes a configuration. */}}
{{- define "ttscache.keysConfig" -}}
server: {listen: "127.0.0.1:0"}
issuers: [{name: none, url: "https://localhost", audiences: [none]}]
mapping: []
profiles: {none: {type: x509-proxy}}
store: {url: "memory:"}
authority:
  {{- include "ttscache.authority" . | nindent 2 }}
  dir: ca
{{- end -}}

{{/* The Job's work. Nothing of it leaves the volume of memory but by the API server. */}}
{{- define "ttscache.keysScript" -}}
set -eu
umask 077
{{- if include "ttscache.hasLocalCa" . }}
printf %s "$CONFIGURATION" > ttscache.yaml
ttscache ca init -c ttscache.yaml > /dev/null
{{- end }}
{{- range .Values.keys.sealing }}
head -c 32 /dev/urandom > {{ . }}
{{- end }}
python -c 'import secrets; print(secrets.token_urlsafe(32))' > redis-password
exec python -m k8s_manifests.keys --secret {{ include "ttscache.keysSecret" . }} --namespace {{ .Release.Namespace }}
{{- if include "ttscache.hasLocalCa" . }} ca{{ end }} {{ join " " .Values.keys.sealing }} redis-password
{{- end -}}

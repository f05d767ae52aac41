{{- define "htcondor.domain" -}}
{{- required "auth.trustDomain is missing: what is the pool's TRUST_DOMAIN?" .Values.auth.trustDomain -}}
{{- end -}}

{{/* Users as HTCondor knows them, with the trust domain where they have none: (dict "root" $ "users" LIST). */}}
{{- define "htcondor.users" -}}
{{- $all := list -}}
{{- range .users -}}
{{- $all = append $all (contains "@" . | ternary . (printf "%s@%s" . (include "htcondor.domain" $.root))) -}}
{{- end -}}
{{- join ", " $all -}}
{{- end -}}

{{/* Of all daemons of the pool. */}}
{{- define "htcondor.config" -}}
{{- $administrators := include "htcondor.users" (dict "root" . "users" .Values.auth.administrators) -}}
{{ include "condor.config.security" .Values.credentials }}
{{ include "condor.config.daemons" (dict "root" . "domain" (include "htcondor.domain" .)) }}
TRUST_DOMAIN = {{ include "htcondor.domain" . }}
{{- with $administrators }}
SEC_ADMINISTRATOR_AUTHENTICATION_METHODS = FS, IDTOKENS
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR), {{ . }}
{{- end }}
{{- end -}}

{{- define "htcondor.cm.config" -}}
{{- $execute := include "htcondor.users" (dict "root" . "users" .Values.auth.execute) -}}
{{- $submit := include "htcondor.users" (dict "root" . "users" (concat .Values.auth.submit .Values.flock.from)) -}}
DAEMON_LIST = MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR
{{ include "htcondor.config" . }}
# its name is known to nobody
COLLECTOR_HOST = $(IP_ADDRESS):9618
# nobody is root here
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR), condor@$(UID_DOMAIN)
ALLOW_ADVERTISE_STARTD = {{ $execute }}
ALLOW_ADVERTISE_SCHEDD = {{ $submit }}
ALLOW_ADVERTISE_MASTER = {{ $execute }}, {{ $submit }}
{{ include "htcondor.config.keys" .Values.auth.signingKey }}
{{- with .Values.cm.config }}
{{ . }}
{{- end }}
{{- end -}}

{{/* A daemon that verifies tokens, by a key: takes {name, key}. */}}
{{- define "htcondor.config.keys" -}}
SEC_PASSWORD_DIRECTORY = /run/condor-keys
SEC_TOKEN_POOL_SIGNING_KEY_FILE = /run/condor-keys/POOL
SEC_TOKEN_ISSUER_KEY = {{ .key }}
{{- end -}}

{{- define "htcondor.collector" -}}
{{ include "library.fullname" . }}-cm:9618
{{- end -}}

{{- define "htcondor.submit.config" -}}
{{- $users := include "htcondor.users" (dict "root" . "users" .Values.submit.allow) -}}
DAEMON_LIST = MASTER, SHARED_PORT, SCHEDD{{ if .Values.router.enabled }}, JOB_ROUTER{{ end }}
{{ include "htcondor.config" . }}
COLLECTOR_HOST = {{ include "htcondor.collector" . }}
SPOOL = /var/spool/condor
{{- with .Values.submit.publicHost }}
TCP_FORWARDING_HOST = {{ . }}
{{- end }}
# users show who they are by a token, or by the file system where they are in the pod
SEC_WRITE_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS, FS, SSL, SCITOKENS
ALLOW_WRITE = {{ $users }}
{{- if .Values.submit.usersKey.name }}
{{ include "htcondor.config.keys" .Values.submit.usersKey }}
{{- end }}
{{- with .Values.flock.to }}
FLOCK_TO = {{ join ", " . }}
{{- end }}
{{- if .Values.router.enabled }}
{{ required "router.config is missing: which routes are there?" .Values.router.config }}
{{- end }}
{{- with .Values.submit.config }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "htcondor.execute.config" -}}
DAEMON_LIST = MASTER, SHARED_PORT, STARTD
{{ include "htcondor.config" . }}
COLLECTOR_HOST = {{ include "htcondor.collector" . }}
{{ include "condor.config.execute" (dict "root" . "pod" .Values.execute "environment" .Values.environment) }}
{{- with .Values.execute.config }}
{{ . }}
{{- end }}
{{- end -}}

{{/* What the shared templates take, as YAML (less the root). */}}
{{- define "htcondor.execute" -}}
component: execute
name: {{ include "library.fullname" . }}-execute
service: {{ include "library.fullname" . }}-demand
config: {{ include "htcondor.execute.config" . | toJson }}
environment:
  {{- toYaml .Values.environment | nindent 2 }}
{{- end -}}

{{/* Whether users come from outside. */}}
{{- define "htcondor.isExposed" -}}
{{- if ne .Values.submit.service.type "ClusterIP" }}yes{{ end -}}
{{- end -}}

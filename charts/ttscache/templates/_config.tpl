{{/* The Secret with the CA, the sealing keys and the password of the Redis here. */}}
{{- define "ttscache.keysSecret" -}}
{{- .Values.keys.existingSecret | default (printf "%s-keys" (include "library.fullname" .)) -}}
{{- end -}}

{{/* Yes where the CA is one of files. */}}
{{- define "ttscache.hasLocalCa" -}}
{{- if eq (dig "authority" "kind" "local" .Values.config) "local" }}yes{{ end -}}
{{- end -}}

{{/* Yes where this chart runs the Redis. */}}
{{- define "ttscache.hasRedis" -}}
{{- if and (eq .Values.store.kind "redis") .Values.redis.enabled }}yes{{ end -}}
{{- end -}}

{{/* The authority, less where a local CA's files are: the Job that makes it says another place than the daemon. */}}
{{- define "ttscache.authority" -}}
{{- if include "ttscache.hasLocalCa" . -}}
{{- $asked := "config.authority.subject is missing: what is the CA's name, such as /DC=org/DC=example/CN=T3 CA?" -}}
{{- $_ := required $asked (dig "authority" "subject" "" .Values.config) -}}
{{- end -}}
{{- omit (merge (dict) (.Values.config.authority | default dict) (dict "kind" "local")) "dir" | toYaml -}}
{{- end -}}

{{/* What the chart decides, over which `config` is laid. */}}
{{- define "ttscache.decided" -}}
{{- $name := include "library.fullname" . -}}
server:
  listen: 0.0.0.0:8443
  public_url: https://{{ $name }}.{{ .Release.Namespace }}.svc:8443
  tls: {cert: /etc/ttscache/tls/tls.crt, key: /etc/ttscache/tls/tls.key}
admin:
  socket: /run/ttscache/admin.sock
authority:
  {{- include "ttscache.authority" . | nindent 2 }}
  {{- if include "ttscache.hasLocalCa" . }}
  dir: /etc/ttscache/keys
  {{- end }}
{{- if .Values.legacy.enabled }}
legacy:
  listen: 0.0.0.0:8080
{{- end }}
store:
  {{- if eq .Values.store.kind "sqlite" }}
  url: sqlite:////var/lib/ttscache/state.db
  {{- else if .Values.redis.enabled }}
  url: redis://{{ $name }}-redis:6379
  password: {file: /etc/ttscache/keys/redis-password}
  {{- else }}
  url: {{ .Values.redis.url | quote }}
  {{- if .Values.redis.password.name }}
  password: {file: /etc/ttscache/redis/{{ .Values.redis.password.key }}}
  {{- end }}
  {{- end }}
  sealing_keys:
    {{- range .Values.keys.sealing }}
    - {id: {{ . | quote }}, file: /etc/ttscache/keys/{{ . }}}
    {{- end }}
{{- end -}}

{{/* The daemon's configuration. */}}
{{- define "ttscache.config" -}}
{{- $_ := required "config.issuers is missing: whose tokens are taken?" .Values.config.issuers -}}
{{- $_ := required "config.mapping is missing: who gets which name?" .Values.config.mapping -}}
{{- $_ := required "config.profiles is missing: what can be asked for?" .Values.config.profiles -}}
{{- mergeOverwrite (include "ttscache.decided" . | fromYaml) (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* The port of a Redis elsewhere. */}}
{{- define "ttscache.redisPort" -}}
{{- (urlParse .Values.redis.url).host | regexFind ":[0-9]+$" | trimPrefix ":" | default "6379" -}}
{{- end -}}

{{/* The beginning of the names of what belongs to the whole cluster, where other releases have theirs too. */}}
{{- define "ttscache.clusterName" -}}
{{ .Release.Namespace }}-{{ include "library.fullname" . }}
{{- end -}}

{{/* Where workers report: the collectors, those without a port by that of the pool; of a range one is drawn. */}}
{{- define "wn.collectors" -}}
{{- $all := list -}}
{{- range .Values.pool.collectors -}}
{{- $host := regexReplaceAll ":[0-9-]+$" . "" -}}
{{- $ports := regexFind "[0-9-]+$" (trimPrefix $host .) | default $.Values.pool.ports | toString -}}
{{- if contains "-" $ports -}}
{{- $ports = printf "$RANDOM_INTEGER(%s,1)" (replace "-" "," $ports) -}}
{{- end -}}
{{- $all = append $all (printf "%s:%s" $host $ports) -}}
{{- end -}}
{{- required "pool.collectors is empty: which pool is joined?" (join ", " $all) -}}
{{- end -}}

{{/* Where questions are asked: the collectors with one port each, as YAML. */}}
{{- define "wn.asked" -}}
collectors:
  {{- range .Values.pool.collectors }}
  - {{ regexMatch ":[0-9]+$" . | ternary . (printf "%s:%v" (regexReplaceAll ":[0-9-]+$" . "") $.Values.pool.queryPort) | quote }}
  {{- end }}
{{- end -}}

{{- define "wn.site" -}}
{{- required "site.name is missing: what is this site's GLIDEIN_Site?" .Values.site.name -}}
{{- end -}}

{{/* The slots' attributes, as YAML. */}}
{{- define "wn.attributes" -}}
{{- $name := include "wn.site" . -}}
{{- $site := .Values.site -}}
{{- $own := dict "GLIDEIN_Site" $name "GLIDEIN_CMSSite" (default $name $site.cmsName) "GLIDEIN_Gatekeeper" (default $name $site.gatekeeper) -}}
{{- merge (deepCopy $site.attributes) $own | toYaml -}}
{{- end -}}

{{/* The payloads' environment, as YAML. */}}
{{- define "wn.environment" -}}
{{- $site := .Values.site -}}
{{- merge (deepCopy .Values.environment) (dict "CMS_LOCAL_SITE" (coalesce $site.localSite $site.cmsName $site.name)) | toYaml -}}
{{- end -}}

{{- define "wn.config" -}}
{{- $attributes := include "wn.attributes" . | fromYaml -}}
DAEMON_LIST = MASTER, SHARED_PORT, STARTD
{{ include "condor.config.security" .Values.credentials }}
{{ include "condor.config.daemons" (dict "root" . "domain" (include "wn.site" . | lower | replace "_" "-")) }}
# who administers the pool does not administer this site
SEC_ENABLE_REMOTE_ADMINISTRATION = False
{{- if .Values.credentials.trust.enabled }}
AUTH_SSL_CLIENT_CADIR = {{ .Values.credentials.directory }}/certificates
{{- end }}
# a range spreads the workers over the collectors behind it; what schedds want of a worker, it is called back for (CCB)
COLLECTOR_HOST = {{ include "wn.collectors" . }}
CCB_ADDRESS = $(COLLECTOR_HOST)
{{- range $name, $value := $attributes }}
{{ $name }} = {{ kindIs "string" $value | ternary (quote $value) (toJson $value) }}
{{- end }}
STARTD_ATTRS = {{ keys $attributes | sortAlpha | join " " }}
{{ include "condor.config.execute" (dict "root" . "pod" .Values.startd "environment" (include "wn.environment" . | fromYaml)) }}
{{- with .Values.startd.config }}
{{ . }}
{{- end }}
{{- end -}}

{{/* What the shared templates take, as YAML (less the root). */}}
{{- define "wn.startd" -}}
component: startd
name: {{ include "library.fullname" . }}-startd
service: {{ include "library.fullname" . }}-demand
config: {{ include "wn.config" . | toJson }}
environment:
  {{- include "wn.environment" . | nindent 2 }}
{{- end -}}

{{- define "xrootd.server.config" -}}
all.role server
xrd.port 1094
{{ include "xrootd.config.common" . }}
{{- range .Values.exports }}
all.export {{ . }}
{{- end }}
oss.localroot /data
{{- include "xrootd.config.report" (dict "root" .) }}
{{ include "xrootd.config.security" . }}
{{- if .Values.http.enabled }}
{{ include "xrootd.server.http" . }}
{{- end }}
{{- with .Values.server.config }}
{{ . }}
{{- end }}
{{- end -}}

{{/* HTTPS: who shows a certificate is somebody by the same maps as with GSI; who shows a token, by what it grants. */}}
{{- define "xrootd.server.http" -}}
xrd.protocol http libXrdHttp.so
http.header2cgi Authorization authz
{{- if and .Values.gsi.enabled .Values.authorization.enabled }}
http.gridmap{{ if not .Values.gsi.voms }} required{{ end }} /etc/xrootd-authorization/grid-mapfile
{{- end }}
{{- if .Values.gsi.voms }}
http.secxtractor libXrdHttpVOMS.so
{{- end }}
{{- end -}}

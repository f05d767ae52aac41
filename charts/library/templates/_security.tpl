{{/* A pod's security context by the restricted Pod Security Standard: (dict "uid" 10001 "gid" 10001). */}}
{{- define "library.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .gid }}
fsGroup: {{ .gid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A container's: no capability, no way to more rights, nothing to write on but its volumes. */}}
{{- define "library.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/*
The credential sidecar. It keeps files in a volume of memory, which consumers mount read-only; the pod's own token, by
which it asks, is in its container alone. Charts that have one keep its values under `credentials`.

From Kubernetes 1.29 on it is a native sidecar: an init container that stays, whose startup probe lets the others wait
until each credential is there. Below that an init container fetches once, and a container of its own goes on.

All of these take (dict "root" $ "credentials" .Values.credentials "uid" UID "gid" GID): the consumer's, so that the files
are its own.
*/}}
{{- define "library.sidecar.isNative" -}}
{{- if semverCompare ">=1.29-0" .root.Capabilities.KubeVersion.Version }}yes{{ end -}}
{{- end -}}

{{/* One `--NAME=FILE` and its `--NAME-profile`: (dict "credentials" C "option" "proxy" "item" C.proxy). */}}
{{- define "library.sidecar.file" -}}
{{- if .item.enabled }}
- --{{ .option }}={{ .credentials.directory }}/{{ .item.file }}
{{- with .item.profile }}
- --{{ $.option }}-profile={{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "library.sidecar.arguments" -}}
{{- $c := .credentials -}}
- --url={{ required "credentials.url is missing: where does ttscache answer?" $c.url }}
- --token-file=/var/run/secrets/ttscache/token
{{- if $c.ca.name }}
- --ca-file=/etc/ttscache/ca/{{ $c.ca.key }}
{{- end }}
{{- include "library.sidecar.file" (dict "credentials" $c "option" "proxy" "item" $c.proxy) }}
{{- include "library.sidecar.file" (dict "credentials" $c "option" "bearer" "item" $c.bearer) }}
{{- include "library.sidecar.file" (dict "credentials" $c "option" "idtoken" "item" $c.idtoken) }}
{{- if $c.trust.enabled }}
- --trust={{ $c.directory }}/certificates
{{- with $c.trust.base }}
- --trust-base={{ . }}
{{- end }}
{{- end }}
{{- if $c.vomsdir.enabled }}
- --vomsdir={{ $c.directory }}/vomsdir
{{- end }}
- --mode={{ $c.mode }}
- --min-left={{ $c.minLeft }}
{{- end -}}

{{- define "library.sidecar.rest" -}}
image: {{ include "library.image" (dict "root" .root "image" .credentials.image) }}
imagePullPolicy: {{ .credentials.image.pullPolicy }}
securityContext:
  runAsNonRoot: {{ ne (int .uid) 0 }}
  runAsUser: {{ .uid }}
  runAsGroup: {{ .gid }}
  {{- include "library.securityContext" . | nindent 2 }}
resources:
  {{- toYaml .credentials.resources | nindent 2 }}
volumeMounts:
  - {name: credentials, mountPath: {{ .credentials.directory }}}
  - {name: ttscache-token, mountPath: /var/run/secrets/ttscache, readOnly: true}
  {{- if .credentials.ca.name }}
  - {name: ttscache-ca, mountPath: /etc/ttscache/ca, readOnly: true}
  {{- end }}
  {{- with .credentials.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "library.sidecar.staying" -}}
- name: credentials
  command: [ttscache, sidecar]
  args:
    {{- include "library.sidecar.arguments" . | nindent 4 }}
    - --health={{ .credentials.healthPort }}
    - --status={{ .credentials.directory }}/status
  ports:
    - {name: credentials, containerPort: {{ .credentials.healthPort }}, protocol: TCP}
  startupProbe:
    httpGet: {path: /healthz, port: credentials}
    periodSeconds: 2
    failureThreshold: 300
  readinessProbe:
    httpGet: {path: /healthz, port: credentials}
    periodSeconds: 10
  {{- include "library.sidecar.rest" . | nindent 2 }}
{{- end -}}

{{/* What stands under `initContainers`: the sidecar itself where it can, else its first turn. */}}
{{- define "library.sidecar.init" -}}
{{- if include "library.sidecar.isNative" . }}
{{- include "library.sidecar.staying" . }}
  restartPolicy: Always
{{- else -}}
- name: first-credentials
  command: [ttscache, sidecar, --once]
  args:
    {{- include "library.sidecar.arguments" . | nindent 4 }}
  {{- include "library.sidecar.rest" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What stands under `containers`: the sidecar, where it cannot be native; else nothing. */}}
{{- define "library.sidecar.container" -}}
{{- if not (include "library.sidecar.isNative" .) }}
{{- include "library.sidecar.staying" . }}
{{- end }}
{{- end -}}

{{/* The consumer's mount: it reads what is there, and never sees the pod's token. */}}
{{- define "library.sidecar.mount" -}}
- {name: credentials, mountPath: {{ .credentials.directory }}, readOnly: true}
{{- end -}}

{{- define "library.sidecar.volumes" -}}
- name: credentials
  emptyDir: {medium: Memory, sizeLimit: {{ .credentials.volumeSize }}}
- name: ttscache-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: {{ required "credentials.audience is missing: what must the token's `aud` be?" .credentials.audience | quote }}
          expirationSeconds: {{ .credentials.tokenSeconds }}
          path: token
{{- with .credentials.ca }}
{{- if .name }}
- name: ttscache-ca
  {{- if eq .kind "Secret" }}
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]
  {{- else }}
  configMap:
    name: {{ .name }}
    items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The daemon's pods, whatever keeps them. */}}
{{- define "ttscache.pod" -}}
metadata:
  labels:
    {{- include "library.podLabels" (dict "root" . "component" "daemon") | nindent 4 }}
  annotations:
    checksum/config: {{ list (include "ttscache.config" .) .Values.files | toJson | sha256sum }}
spec:
  serviceAccountName: {{ include "library.fullname" . }}
  # the token of `workloads` is in a volume of its own below, if it is wanted
  automountServiceAccountToken: false
  {{- include "library.podSpec" (dict "root" . "component" "daemon" "pod" .Values.daemon) | nindent 2 }}
  securityContext:
    {{- include "library.podSecurityContext" .Values | nindent 4 }}
  {{- include "library.topologySpread" (dict "root" . "component" "daemon") | nindent 2 }}
  containers:
    - name: daemon
      image: {{ include "library.image" (dict "root" . "image" .Values.image) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [ttscache, serve]
      args: [--config, /etc/ttscache/config/ttscache.yaml]
      securityContext:
        {{- include "library.securityContext" . | nindent 8 }}
      ports:
        - {name: https, containerPort: 8443, protocol: TCP}
        {{- if .Values.legacy.enabled }}
        - {name: legacy, containerPort: 8080, protocol: TCP}
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: https, scheme: HTTPS}
        periodSeconds: 2
        failureThreshold: 60
      # 503 when nothing can be served, not when an issuer is away; the store is given 2 s to write and 2 s to read
      readinessProbe:
        httpGet: {path: /readyz, port: https, scheme: HTTPS}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      # a loop that hangs for a minute; under a herd it is late, not dead
      livenessProbe:
        httpGet: {path: /healthz, port: https, scheme: HTTPS}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      {{- if eq .Values.store.kind "redis" }}
      # until every node has heard that requests go to the others now
      lifecycle:
        preStop:
          exec: {command: [sleep, "5"]}
      {{- end }}
      resources:
        {{- toYaml .Values.daemon.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/ttscache/config, readOnly: true}
        - {name: keys, mountPath: /etc/ttscache/keys, readOnly: true}
        - {name: tls, mountPath: /etc/ttscache/tls, readOnly: true}
        - {name: run, mountPath: /run/ttscache}
        {{- if eq .Values.store.kind "sqlite" }}
        - {name: state, mountPath: /var/lib/ttscache}
        {{- else if include "ttscache.redisPassword" . }}
        - {name: redis, mountPath: /etc/ttscache/redis, readOnly: true}
        {{- end }}
        {{- if or .Values.workloads.token .Values.workloads.review }}
        - {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
        {{- range $index, $secret := .Values.secrets }}
        - name: secret-{{ $index }}
          mountPath: {{ .mountPath | default (printf "/run/secrets/%s" .name) }}
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "library.fullname" . }}}
    # all of it: a CA that is rotated has more files, a sealing key that is changed another name
    - name: keys
      secret: {secretName: {{ include "ttscache.keysSecret" . | quote }}, defaultMode: 0440}
    - name: tls
      secret: {secretName: {{ .Values.tls.secretName | quote }}, defaultMode: 0440}
    - name: run
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    {{- if include "ttscache.redisPassword" . }}
    - name: redis
      secret:
        secretName: {{ .Values.redis.password.name | quote }}
        defaultMode: 0440
        items: [{key: {{ .Values.redis.password.key | quote }}, path: {{ .Values.redis.password.key | quote }}}]
    {{- end }}
    {{- if or .Values.workloads.token .Values.workloads.review }}
    {{- include "ttscache.apiToken" . | nindent 4 }}
    {{- end }}
    {{- range $index, $secret := .Values.secrets }}
    - name: secret-{{ $index }}
      secret: {secretName: {{ .name | quote }}, defaultMode: 0440}
    {{- end }}
{{- end -}}

{{/* Yes where a Redis elsewhere has a password. */}}
{{- define "ttscache.redisPassword" -}}
{{- if and (eq .Values.store.kind "redis") (not .Values.redis.enabled) .Values.redis.password.name }}yes{{ end -}}
{{- end -}}

{{/* A volume as the API server's clients expect it, for the containers that ask there: its token, its CA. */}}
{{- define "ttscache.apiToken" -}}
- name: api-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {expirationSeconds: 3600, path: token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end -}}

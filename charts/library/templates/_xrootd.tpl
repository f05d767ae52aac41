{{/*
What the charts of XRootD servers share. Both have values `image`, `uid`, `gid`, `gsi`, `scitokens`, `authorization`,
`hostCertificate`, `trustDirectory`, `credentials`, `metrics`, `extraVolumes` and `extraVolumeMounts`. Templates take the
root, or (dict "root" $ "component" "cache" ...) where they say so.

Paths are the charts' own, since images have different ones:

  /etc/xrootd-site                the configuration
  /etc/xrootd-authorization       who may what
  /run/host-certificate           the host certificate
  /run/xrootd                     sockets between xrootd and cmsd
  /data                           files
*/}}

{{/* A quantity of Kubernetes in bytes: "1.5Gi" is 1610612736. */}}
{{- define "xrootd.bytes" -}}
{{- $number := regexFind "^[0-9.]+" . | float64 -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf $number (get $factors (regexFind "[A-Za-z]*$" .)) | int64 -}}
{{- end -}}

{{/* Where trusted CAs are: what the sidecar keeps, or else a directory of the image. */}}
{{- define "xrootd.trustDirectory" -}}
{{- if and .Values.credentials.enabled .Values.credentials.trust.enabled -}}
{{ .Values.credentials.directory }}/certificates
{{- else -}}
{{ .Values.trustDirectory }}
{{- end -}}
{{- end -}}

{{/* Whether readers come with TLS: tokens travel by nothing else. */}}
{{- define "xrootd.usesTls" -}}
{{- if or .Values.scitokens.enabled (default dict .Values.http).enabled }}yes{{ end -}}
{{- end -}}

{{- define "xrootd.hasHostCertificate" -}}
{{- if or .Values.gsi.enabled (include "xrootd.usesTls" .) }}yes{{ end -}}
{{- end -}}

{{/* What is said of nothing in particular: paths, and names instead of addresses, as certificates have them. */}}
{{- define "xrootd.config.common" -}}
all.adminpath /run/xrootd
all.pidpath /run/xrootd
# addresses of pods change; their names are looked up whenever they are needed, also backwards and for private addresses
xrd.network dnr rpipa dyndns
{{- end -}}

{{/* Who comes in, and who may what: what a server says that is asked for files. */}}
{{- define "xrootd.config.security" -}}
{{- $files := "/etc/xrootd-authorization" -}}
{{- $voms := .Values.gsi.voms -}}
{{- if and .Values.authorization.enabled (not (or .Values.gsi.enabled .Values.scitokens.enabled)) -}}
{{- fail "gsi.enabled and scitokens.enabled are both false: nobody can be told from anybody, so nobody could be authorized. Enable one of them, or say authorization.enabled: false to let everybody read everything." -}}
{{- end -}}
{{- if and .Values.scitokens.enabled (not .Values.authorization.enabled) -}}
{{- fail "scitokens.enabled with authorization.enabled: false: it is the authorization that looks at tokens, so whoever brings any text for one would come in." -}}
{{- end -}}
{{- $unchecked := or (default dict .Values.http).enabled (and .Values.scitokens.enabled (not .Values.scitokens.verifyAtLogin)) -}}
{{- if and $unchecked (regexMatch "(?m)^\\s*u\\s+\\*\\s" .Values.authorization.authdb) -}}
{{- fail "authorization.authdb has a rule for everybody (u *), and with scitokens or http that is also who has shown nothing that was checked. Name accounts or groups." -}}
{{- end -}}
{{- if include "xrootd.hasHostCertificate" . -}}
xrootd.seclib libXrdSec.so
{{- if .Values.gsi.enabled }}
sec.protocol gsi -certdir:{{ include "xrootd.trustDirectory" . }} -cert:/run/host-certificate/tls.crt -key:/run/host-certificate/tls.key -crl:1 -ca:2 -dlgpxy:0 -d:1
{{- if .Values.authorization.enabled }} -gridmap:{{ $files }}/grid-mapfile -gmapto:60 -gmapopt:{{ $voms | ternary 1 2 }}{{ else }} -gmapopt:10{{ end }}
{{- if $voms }} -vomsat:1 -vomsfun:libXrdVoms.so{{ end }}
{{- end }}
{{- if .Values.scitokens.enabled }}
# Without the check at login a token's holder has no name. With it he is called what `sub` says, whatever the token's
# audience, and has the rights of an account of that name.
sec.protocol ztn{{ if not .Values.scitokens.verifyAtLogin }} -tokenlib none{{ end }}
{{- end }}
{{- if or .Values.gsi.enabled .Values.scitokens.enabled }}
sec.protbind * only{{ if .Values.gsi.enabled }} gsi{{ end }}{{ if .Values.scitokens.enabled }} ztn{{ end }}
{{- end }}
{{- if include "xrootd.usesTls" . }}
xrd.tls /run/host-certificate/tls.crt /run/host-certificate/tls.key
xrd.tlsca certdir {{ include "xrootd.trustDirectory" . }} refresh 1h verdepth 20
xrootd.tls capable login -data
{{- end }}
{{- end }}
{{- if .Values.authorization.enabled }}
ofs.authorize 1
{{- if .Values.scitokens.enabled }}
# a token that grants what is asked for is enough; else the authorization file decides, by account and group
ofs.authlib ++ libXrdAccSciTokens.so config=/etc/xrootd-site/scitokens.cfg
{{- end }}
acc.authdb {{ $files }}/authdb
acc.authrefresh 60
{{- if and .Values.gsi.enabled $voms }}
voms.mapfile {{ $files }}/voms-mapfile
{{- end }}
{{- end }}
{{- end -}}

{{- define "xrootd.config.scitokens" -}}
{{- $s := .Values.scitokens -}}
{{- if not (and $s.issuers $s.audience) -}}
{{- fail "scitokens.enabled needs scitokens.issuers and scitokens.audience: whose tokens, and meant for whom?" -}}
{{- end -}}
[Global]
audience = {{ join ", " $s.audience }}
onmissing = passthrough
{{- range $s.issuers }}

[Issuer {{ .name }}]
issuer = {{ .issuer }}
base_path = {{ join ", " .basePath }}
{{- if .names }}
name_mapfile = /etc/xrootd-site/names-{{ .name }}.json
{{- end }}
{{- end }}
{{- end -}}

{{/* The protocol's first exchange, which needs no login: whoever answers it has threads to spare. */}}
{{- define "xrootd.handshake" -}}
# handshake.sh HOST PORT
exec 3<>"/dev/tcp/$1/$2" || exit 1
printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\7\334' >&3
[ "$(head -c 16 <&3 | od -An -N8 -tx1 | tr -d ' \n')" = 0000000000000008 ]
{{- end -}}

{{/* Files of the configuration besides xrootd.cfg, as YAML. */}}
{{- define "xrootd.files" -}}
handshake.sh: |
  {{- include "xrootd.handshake" . | nindent 2 }}
{{- if .Values.scitokens.enabled }}
scitokens.cfg: |
  {{- include "xrootd.config.scitokens" . | nindent 2 }}
{{- range .Values.scitokens.issuers }}
{{- if .names }}
names-{{ .name }}.json: |
  {{- .names | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The ConfigMap with who may what, where it is the chart's: (dict "root" $ "component" "cache" "name" NAME). */}}
{{- define "xrootd.authorization" -}}
{{- $a := .root.Values.authorization -}}
{{- if and $a.enabled (not $a.configMap) }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
data:
  authdb: |
    # users (u) and groups (g), and what they may
    {{- $a.authdb | nindent 4 }}
  grid-mapfile: |
    # "DN" account
    {{- $a.gridmap | nindent 4 }}
  voms-mapfile: |
    # "FQAN" account
    {{- $a.vomsmap | nindent 4 }}
{{- end }}
{{- end -}}

{{/* A checksum of everything that a server reads once: (dict "root" $ "config" TEXT). */}}
{{- define "xrootd.checksum" -}}
{{- $v := .root.Values -}}
{{- list .config (include "xrootd.files" .root) $v.authorization | toJson | sha256sum -}}
{{- end -}}

{{/* The environment of XRootD as a client and as a reader of trust: (dict "root" $ "credential" "proxy", "token" or "none"). */}}
{{- define "xrootd.environment" -}}
{{- $c := .root.Values.credentials -}}
{{- if and (eq .credential "proxy") (not (and $c.enabled $c.proxy.enabled)) -}}
{{- fail "an X.509 proxy is to be shown (origin.credential: proxy, or gsi.enabled with proxy.enabled), but nobody keeps one: enable credentials and credentials.proxy." -}}
{{- end -}}
{{- if and (eq .credential "token") (not (and $c.enabled $c.bearer.enabled)) -}}
{{- fail "a token is to be shown (origin.credential: token, or scitokens.enabled with proxy.enabled), but nobody keeps one: enable credentials and credentials.bearer." -}}
{{- end -}}
- {name: X509_CERT_DIR, value: {{ include "xrootd.trustDirectory" .root }}}
{{- if and $c.enabled $c.vomsdir.enabled }}
- {name: X509_VOMS_DIR, value: {{ $c.directory }}/vomsdir}
{{- end }}
{{- if eq .credential "proxy" }}
- {name: X509_USER_PROXY, value: {{ $c.directory }}/{{ $c.proxy.file }}}
- {name: XrdSecPROTOCOL, value: gsi}
{{- else if eq .credential "token" }}
- {name: BEARER_TOKEN_FILE, value: {{ $c.directory }}/{{ $c.bearer.file }}}
- {name: XrdSecPROTOCOL, value: ztn}
{{- end }}
# keys of token issuers are kept here
- {name: XDG_CACHE_HOME, value: /tmp}
- {name: HOME, value: /tmp}
{{- end -}}

{{/* What xrootd and cmsd have in common as containers. They make a directory for core files where they start. */}}
{{- define "xrootd.container" -}}
image: {{ include "library.image" (dict "root" . "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
workingDir: /tmp
securityContext:
  {{- include "library.securityContext" . | nindent 2 }}
{{- end -}}

{{- define "xrootd.mounts" -}}
- {name: config, mountPath: /etc/xrootd-site, readOnly: true}
- {name: run, mountPath: /run/xrootd}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* What a server that is asked for files mounts besides. */}}
{{- define "xrootd.mounts.security" -}}
{{- if .Values.authorization.enabled }}
- {name: authorization, mountPath: /etc/xrootd-authorization, readOnly: true}
{{- end }}
{{- if include "xrootd.hasHostCertificate" . }}
- {name: host-certificate, mountPath: /run/host-certificate, readOnly: true}
{{- end }}
{{- if .Values.credentials.enabled }}
{{ include "library.sidecar.mount" (dict "credentials" .Values.credentials) }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "config" NAME-OF-CONFIGMAP) */}}
{{- define "xrootd.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}

{{/* (dict "root" $ "authorization" NAME-OF-CONFIGMAP "uid" UID "gid" GID) */}}
{{- define "xrootd.volumes.security" -}}
{{- $v := .root.Values -}}
{{- if $v.authorization.enabled }}
- name: authorization
  configMap: {name: {{ $v.authorization.configMap | default .authorization }}}
{{- end }}
{{- if include "xrootd.hasHostCertificate" .root }}
- name: host-certificate
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: host-secret
  secret: {secretName: {{ $v.hostCertificate.secretName | quote }}, defaultMode: 0440}
{{- end }}
{{- if $v.credentials.enabled }}
{{ include "library.sidecar.volumes" (dict "root" .root "credentials" $v.credentials) }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The host certificate. XRootD wants its key to be its own and nobody else's (0400), which no mounted Secret is: so it is
copied, and again when the Secret has another one. XRootD looks at the files each hour.
*/}}
{{- define "xrootd.hostCertificate.rest" -}}
image: {{ include "library.image" (dict "root" . "image" .Values.credentials.image) }}
imagePullPolicy: {{ .Values.credentials.image.pullPolicy }}
securityContext:
  {{- include "library.securityContext" . | nindent 2 }}
resources:
  requests: {cpu: 5m, memory: 8Mi}
  limits: {memory: 32Mi}
volumeMounts:
  - {name: host-secret, mountPath: /run/host-secret, readOnly: true}
  - {name: host-certificate, mountPath: /run/host-certificate}
{{- end -}}

{{/* The copying: once, or (dict "stays" true) for ever. A file is replaced whole. */}}
{{- define "xrootd.hostCertificate.command" -}}
- sh
- -euc
- |
  trap 'exit 0' TERM
  copy() {
    for file in tls.key tls.crt; do
      cmp -s "/run/host-secret/$file" "/run/host-certificate/$file" && continue
      install -m 0400 "/run/host-secret/$file" "/run/host-certificate/.$file"
      mv "/run/host-certificate/.$file" "/run/host-certificate/$file"
    done
  }
  copy
  {{- if .stays }}
  while :; do sleep 60 & wait $!; copy; done
  {{- end }}
{{- end -}}

{{- define "xrootd.hostCertificate.staying" -}}
- name: host-certificate
  command:
    {{- include "xrootd.hostCertificate.command" (dict "stays" true) | nindent 4 }}
  startupProbe:
    exec: {command: [test, -s, /run/host-certificate/tls.crt]}
    periodSeconds: 2
    failureThreshold: 30
  livenessProbe:
    exec: {command: [cmp, /run/host-secret/tls.key, /run/host-certificate/tls.key]}
    periodSeconds: 60
    failureThreshold: 5
  {{- include "xrootd.hostCertificate.rest" . | nindent 2 }}
{{- end -}}

{{/* What stands under `initContainers`, and under `containers`: as with the sidecar of credentials. */}}
{{- define "xrootd.hostCertificate.init" -}}
{{- if include "library.sidecar.isNative" (dict "root" .) }}
{{- include "xrootd.hostCertificate.staying" . }}
  restartPolicy: Always
{{- else -}}
- name: first-host-certificate
  command:
    {{- include "xrootd.hostCertificate.command" (dict "stays" false) | nindent 4 }}
  {{- include "xrootd.hostCertificate.rest" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "xrootd.hostCertificate.container" -}}
{{- if not (include "library.sidecar.isNative" (dict "root" .)) }}
{{- include "xrootd.hostCertificate.staying" . }}
{{- end }}
{{- end -}}

{{/*
What stands beside XRootD, by the library's terms for its sidecar: (dict "root" $ "credentials" .Values.credentials "uid" UID
"gid" GID). The first is the whole of `initContainers`.
*/}}
{{- define "xrootd.initContainers" -}}
{{- if or .credentials.enabled (include "xrootd.hasHostCertificate" .root) }}
initContainers:
  {{- if .credentials.enabled }}
  {{- include "library.sidecar.init" . | nindent 2 }}
  {{- end }}
  {{- if include "xrootd.hasHostCertificate" .root }}
  {{- include "xrootd.hostCertificate.init" .root | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "xrootd.sideContainers" -}}
{{- if .credentials.enabled }}
{{- include "library.sidecar.container" . }}
{{- end }}
{{- if include "xrootd.hasHostCertificate" .root }}
{{ include "xrootd.hostCertificate.container" .root }}
{{- end }}
{{- end -}}

{{/* The claim for files, as a StatefulSet makes one for each pod: (dict "root" $ "component" "cache" "volume" VALUES). */}}
{{- define "xrootd.claim" -}}
volumeClaimTemplates:
  - metadata:
      name: data
      labels:
        {{- include "library.podLabels" . | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .volume.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .volume.size }}
{{- end -}}

{{/* The seconds of a drain must be fewer than those in which a pod has to end. */}}
{{- define "xrootd.checkDrain" -}}
{{- if le (int .terminationGracePeriodSeconds) (int .drainSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds (%v) must be more than drainSeconds (%v): the pod would be killed while it drains." .terminationGracePeriodSeconds .drainSeconds) -}}
{{- end -}}
{{- end -}}

{{/* A Certificate for the Secret: (dict "root" $ "component" "cache" "name" NAME "dnsNames" LIST). GSI takes RSA keys alone. */}}
{{- define "xrootd.hostCertificate.certificate" -}}
{{- $h := .root.Values.hostCertificate -}}
{{- if and $h.certManager.enabled (include "xrootd.hasHostCertificate" .root) }}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
spec:
  secretName: {{ $h.secretName | quote }}
  issuerRef:
    {{- toYaml $h.certManager.issuerRef | nindent 4 }}
  # GSI wants a subject; names of more than 64 characters are in the others alone
  commonName: {{ .name }}
  dnsNames:
    {{- range concat .dnsNames $h.extraNames }}
    - {{ . | quote }}
    {{- end }}
  usages: [digital signature, key encipherment, server auth, client auth]
  privateKey: {algorithm: RSA, size: 2048, rotationPolicy: Always}
{{- end }}
{{- end -}}

{{/* A server answers the protocol's handshake, or it does not. The kernel would take connections for one that hangs. */}}
{{- define "xrootd.probes" -}}
startupProbe:
  exec: {command: [bash, /etc/xrootd-site/handshake.sh, 127.0.0.1, "1094"]}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  exec: {command: [bash, /etc/xrootd-site/handshake.sh, 127.0.0.1, "1094"]}
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:
  exec: {command: [bash, /etc/xrootd-site/handshake.sh, 127.0.0.1, "1094"]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 6
{{- end -}}

{{/* The configuration that the exporter needs: (dict "root" $ "cache" true); `cache` where there is one to tell of. */}}
{{- define "xrootd.config.report" -}}
{{- if .root.Values.metrics.enabled }}
xrd.report 127.0.0.1:9931 every 15s all
{{- if .cache }}
# the report has zeros for what a cache read from where
xrootd.mongstream pfc use flush 15s send json 127.0.0.1:9931
{{- end }}
{{- end }}
{{- end -}}

{{/* The exporter of XRootD's reports: (dict "root" $ "disk" true "cache" true); `disk` where there are files
in /data, `cache` where they are another server's. */}}
{{- define "xrootd.exporter" -}}
{{- if .root.Values.metrics.enabled }}
- name: exporter
  image: {{ include "library.image" (dict "root" .root "image" .root.Values.credentials.image) }}
  imagePullPolicy: {{ .root.Values.credentials.image.pullPolicy }}
  command: [python, -m, k8s_manifests.exporters.xrootd]
  args:
    - --listen=:9109
    - --report=127.0.0.1:9931
    {{- if .disk }}
    - --disk=/data
    {{- end }}
    {{- if .cache }}
    - --cache
    {{- end }}
  ports:
    - {name: metrics, containerPort: 9109, protocol: TCP}
  readinessProbe:
    httpGet: {path: /healthz, port: metrics}
    periodSeconds: 10
  livenessProbe:
    httpGet: {path: /healthz, port: metrics}
    periodSeconds: 30
    timeoutSeconds: 5
  securityContext:
    {{- include "library.securityContext" . | nindent 4 }}
  resources:
    {{- toYaml .root.Values.metrics.resources | nindent 4 }}
  {{- if .disk }}
  volumeMounts:
    - {name: data, mountPath: /data, readOnly: true}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Prometheus is let in: (dict "root" $ "sidecar" true); `sidecar` where the pod has that of credentials. */}}
{{- define "xrootd.ingress.monitoring" -}}
{{- $credentials := .root.Values.credentials -}}
{{- if .root.Values.metrics.enabled -}}
{{- $ports := list 9109 -}}
{{- if and .sidecar $credentials.enabled -}}
{{- $ports = append $ports (int $credentials.healthPort) -}}
{{- end -}}
{{- include "library.ingress.monitoring" (dict "root" .root "ports" $ports) }}
{{- end -}}
{{- end -}}

{{/* The Service by which readers from outside come: (dict "root" $ "component" "proxy" "name" NAME "service" VALUES). */}}
{{- define "xrootd.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
  {{- with .service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .service.type }}
  {{- if and (eq .service.type "LoadBalancer") .service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml .service.loadBalancerSourceRanges | nindent 4 }}
  {{- end }}
  selector:
    {{- include "library.selectorLabels" . | nindent 4 }}
  ports:
    - name: xrootd
      port: 1094
      targetPort: xrootd
      protocol: TCP
      {{- if and .service.nodePort (ne .service.type "ClusterIP") }}
      nodePort: {{ .service.nodePort }}
      {{- end }}
{{- end -}}

{{/* The seconds that reads under way are given when a pod goes: (dict "root" $ "seconds" 60). */}}
{{- define "xrootd.drain" -}}
{{- if .seconds }}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version }}
    sleep: {seconds: {{ .seconds }}}
    {{- else }}
    exec: {command: [sleep, {{ .seconds | quote }}]}
    {{- end }}
{{- end }}
{{- end -}}

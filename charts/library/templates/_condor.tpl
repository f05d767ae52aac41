{{/*
What the charts of worker nodes (wn) and of a pool (htcondor) share. HTCondor's own configuration of the image says where
its programs are; all else is in one file, mounted over the image's config.d, so that nothing of the image's stays in force.

Values that both have: image, uid, gid, credentials, cvmfs, payload, networkPolicy, metrics, demand.
*/}}

{{/* The credentials' values with a directory for the IDTOKEN: HTCondor reads every file of it. As YAML. */}}
{{- define "condor.credentials" -}}
{{- $mounts := append .Values.credentials.extraVolumeMounts (include "condor.credentials.tokens" . | fromYaml) -}}
{{- mergeOverwrite (deepCopy .Values.credentials) (dict "extraVolumeMounts" $mounts) | toYaml -}}
{{- end -}}

{{- define "condor.credentials.tokens" -}}
{name: tokens, mountPath: {{ .Values.credentials.directory }}/tokens.d}
{{- end -}}

{{/* For pods that need the IDTOKEN alone, of this profile: (dict "root" $ "profile" PROFILE). */}}
{{- define "condor.credentials.idtoken" -}}
{{- $off := dict "enabled" false -}}
{{- $idtoken := dict "enabled" true "profile" .profile -}}
{{- $mounts := list (include "condor.credentials.tokens" .root | fromYaml) -}}
{{- mergeOverwrite (deepCopy .root.Values.credentials) (dict "proxy" $off "bearer" $off "trust" $off "vomsdir" $off "idtoken" $idtoken "extraVolumeMounts" $mounts) | toYaml -}}
{{- end -}}

{{/* What consumers mount, and the volumes: (dict "root" $ "credentials" C ...), as the library's have it. */}}
{{- define "condor.credentials.mounts" -}}
{{ include "library.sidecar.mount" . }}
- {name: tokens, mountPath: {{ .credentials.directory }}/tokens.d, readOnly: true}
{{- end -}}

{{- define "condor.credentials.volumes" -}}
{{ include "library.sidecar.volumes" . }}
- name: tokens
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end -}}

{{/* For what ends by itself, such as a test: credentials once, and no sidecar that would stay. */}}
{{- define "condor.credentials.once" -}}
- name: first-credentials
  command: [ttscache, sidecar, --once]
  args:
    {{- include "library.sidecar.arguments" . | nindent 4 }}
  {{- include "library.sidecar.rest" . | nindent 2 }}
{{- end -}}

{{/* How clients show who they are, and what they ask of others: (dict "directory" D), that of the credentials. */}}
{{- define "condor.config.security" -}}
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, SSL, SCITOKENS
# where tools find their token, and where daemons do
SEC_TOKEN_DIRECTORY = {{ .directory }}/tokens.d
SEC_TOKEN_SYSTEM_DIRECTORY = {{ .directory }}/tokens.d
{{- end -}}

{{/* Of every daemon: (dict "root" $ "domain" D). Tools in the pod itself, such as its probes, are known by the file system. */}}
{{- define "condor.config.daemons" -}}
USE_SHARED_PORT = True
SHARED_PORT_PORT = 9618
LOG = /var/lib/condor/log
RUN = /var/lib/condor/run
LOCK = /var/lib/condor/lock
SPOOL = /var/lib/condor/spool
EXECUTE = /var/lib/condor/execute
CONDOR_IDS = {{ int64 .root.Values.uid }}.{{ int64 .root.Values.gid }}
# pods have no names in DNS; no user of this domain is anybody elsewhere
DEFAULT_DOMAIN_NAME = {{ .domain }}
UID_DOMAIN = {{ .domain }}
# what a container may not do, and need not try
DISCARD_SESSION_KEYRING_ON_STARTUP = False
ENABLE_KERNEL_TUNING = False
SEC_READ_AUTHENTICATION_METHODS = FS, IDTOKENS, SSL, SCITOKENS
SEC_ADMINISTRATOR_AUTHENTICATION_METHODS = FS
# the image's lists are put out of force one by one; what belongs to a claim HTCondor adds itself
ALLOW_READ = *
ALLOW_WRITE = root@$(UID_DOMAIN)
ALLOW_DAEMON = root@$(UID_DOMAIN)
ALLOW_NEGOTIATOR = root@$(UID_DOMAIN)
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN)
ALLOW_CONFIG = root@$(UID_DOMAIN)
ALLOW_ADVERTISE_MASTER = root@$(UID_DOMAIN)
ALLOW_ADVERTISE_SCHEDD = root@$(UID_DOMAIN)
ALLOW_ADVERTISE_STARTD = root@$(UID_DOMAIN)
{{- end -}}

{{/* Of those that run payloads: (dict "root" $ "pod" .Values.startd "environment" MAP); pod has start and config. */}}
{{- define "condor.config.execute" -}}
{{- $values := .root.Values -}}
# one slot with all that the pod has (_CONDOR_NUM_CPUS and _CONDOR_MEMORY are in its environment), of which jobs take parts
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
# for the daemons themselves, in MiB
RESERVED_MEMORY = 256
# limits are the container's: it may make no control groups, and mount nothing
BASE_CGROUP =
MOUNT_PRIVATE_DEV_SHM = False
{{ include "condor.config.payload" . }}
# SIGTERM ends the master gracefully: slots retire, that is they take no more jobs, and theirs may run until they are as old
# as this; then they are told to go, and killed. The pod's grace period is for all of it
MAXJOBRETIREMENTTIME = {{ sub (int .pod.terminationGracePeriodSeconds) 900 }}
MachineMaxVacateTime = 600
SHUTDOWN_GRACEFUL_TIMEOUT = {{ sub (int .pod.terminationGracePeriodSeconds) 60 }}
{{- if ne $values.cvmfs.kind "none" }}
# what hangs on a file system stays as it was: so the answer counts only while it is new
STARTD_CRON_JOBLIST = CVMFS
STARTD_CRON_CVMFS_EXECUTABLE = /etc/condor-files/cvmfs.sh
STARTD_CRON_CVMFS_ARGS = {{ join " " $values.cvmfs.watch }}
STARTD_CRON_CVMFS_PERIOD = 60s
CVMFS_READY = (CvmfsOk =?= True) && (time() - CvmfsCheckedAt < 300)
{{- else }}
CVMFS_READY = True
{{- end }}
# a job with no core would be one more than there are users
START = ({{ .pod.start }}) && ($(CVMFS_READY)) && ((TARGET.RequestCpus ?: 1) >= 1)
STARTD_NOCLAIM_SHUTDOWN = {{ .pod.idleShutdown }}
{{- end -}}

{{/* Who payloads are. */}}
{{- define "condor.config.payload" -}}
{{- $payload := .root.Values.payload -}}
{{- $environment := list -}}
{{- range $name, $value := .environment -}}
{{- $environment = append $environment (printf "%s=%s" $name $value) -}}
{{- end -}}
# payloads get this environment, and nothing of the pilot's
JOB_INHERITS_STARTER_ENVIRONMENT = False
STARTER_JOB_ENVIRONMENT = "{{ join " " $environment }}"
{{- if eq $payload.isolation "uid" }}
# each part of the slot has a user of its own, who cannot read the pilot's files; whose job it is does not matter here
STARTER_ALLOW_RUNAS_OWNER = False
DEDICATED_EXECUTE_ACCOUNT_REGEXP = slot1_[0-9]+
{{- range untilStep 1 (int (add1 (include "condor.cores" .pod))) 1 }}
SLOT1_{{ . }}_USER = slot1_{{ . }}
{{- end }}
{{- end }}
{{- with $payload.wrapper }}
USER_JOB_WRAPPER = {{ . }}
{{- end }}
{{- end -}}

{{/* The cores of a pod that runs payloads, from its resources. */}}
{{- define "condor.cores" -}}
{{- .resources.requests.cpu | toString | int -}}
{{- end -}}

{{/* passwd and group: (dict "root" $ "users" LIST), each {name, uid}. */}}
{{- define "condor.accounts" -}}
passwd: |
  root:x:0:0:root:/root:/sbin/nologin
  condor:x:{{ int64 .root.Values.uid }}:{{ int64 .root.Values.gid }}:HTCondor:/var/lib/condor:/sbin/nologin
  nobody:x:65534:65534:nobody:/:/sbin/nologin
  {{- range .users }}
  {{ .name }}:x:{{ int64 .uid }}:{{ int64 .uid }}:{{ .name }}:/:/bin/sh
  {{- end }}
group: |
  root:x:0:
  condor:x:{{ int64 .root.Values.gid }}:
  nobody:x:65534:
  {{- range .users }}
  {{ .name }}:x:{{ int64 .uid }}:
  {{- end }}
{{- end -}}

{{/*
Files beside the configuration of those who run payloads: (dict "root" $ "pod" .Values.startd). Parts of the slot are numbered
from 1 on, the lowest free number first, and each has one core at least: so there are as many users as cores.
*/}}
{{- define "condor.execute.files" -}}
{{- $users := list -}}
{{- if eq .root.Values.payload.isolation "uid" -}}
{{- range $number := untilStep 1 (int (add1 (include "condor.cores" .pod))) 1 -}}
{{- $users = append $users (dict "name" (printf "slot1_%d" $number) "uid" (sub (add (int $.root.Values.payload.firstUid) $number) 1)) -}}
{{- end -}}
{{- end -}}
{{ include "condor.accounts" (dict "root" .root "users" $users) }}
{{- if ne .root.Values.cvmfs.kind "none" }}
cvmfs.sh: |
  #!/bin/sh
  # run each minute: what it prints becomes part of the slot's ad
  ok=true
  for file in "$@"; do
    timeout -k 1 10 ls "$file" >/dev/null 2>&1 || ok=false
  done
  echo "CvmfsOk = $ok"
  echo "CvmfsCheckedAt = $(date +%s)"
{{- end }}
{{- end -}}

{{/*
A container in which HTCondor is root. It is so to run payloads, or to keep the files of jobs, under other users than its own:
SETUID and SETGID to become them, CHOWN to give them their directories, DAC_OVERRIDE and FOWNER to look after these, KILL to
end their processes. It may not mount, trace, or load anything, and nobody in it gets more rights than he began with.
*/}}
{{- define "condor.rootSecurityContext" -}}
{{ include "condor.root" . }}
  add: [CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID]
{{- end -}}

{{/* Root, without any right that is not added. */}}
{{- define "condor.root" -}}
runAsNonRoot: false
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The context of the containers with daemons that run payloads. */}}
{{- define "condor.executeSecurityContext" -}}
{{- if eq .Values.payload.isolation "uid" -}}
{{ include "condor.rootSecurityContext" . }}
{{- else -}}
{{ include "library.securityContext" . }}
{{- end }}
{{- with .Values.payload.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Directories, by an init container: (dict "root" $ "isRoot" true "spool" "/var/spool/condor"), the last only where it is a volume
of its own. An emptyDir may be written by everybody, and payloads would be among them.
*/}}
{{- define "condor.directories" -}}
{{- $owner := printf "%d:%d" (int64 .root.Values.uid) (int64 .root.Values.gid) -}}
- name: directories
  image: {{ include "library.image" (dict "root" .root "image" .root.Values.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [sh, -euc]
  args:
    - |
      cd /var/lib/condor
      mkdir -p -m 0755 execute lock log run spool
      {{- if .isRoot }}
      chmod 0755 .
      chmod 1777 /tmp
      chown {{ $owner }} execute lock log run spool{{ with .spool }} {{ . }}{{ end }}
      {{- end }}
  securityContext:
    {{- if .isRoot }}
    {{- include "condor.root" . | nindent 4 }}
      add: [CHOWN]
    {{- else }}
    {{- include "library.securityContext" . | nindent 4 }}
    {{- end }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: work, mountPath: /var/lib/condor}
    - {name: tmp, mountPath: /tmp}
    {{- with .spool }}
    - {name: spool, mountPath: {{ . }}}
    {{- end }}
{{- end -}}

{{/* What daemons mount of configuration and directories: (dict "accounts" true). */}}
{{- define "condor.mounts" -}}
- {name: config, mountPath: /etc/condor/config.d, readOnly: true}
- {name: work, mountPath: /var/lib/condor}
- {name: tmp, mountPath: /tmp}
{{- if .accounts }}
- {name: files, mountPath: /etc/passwd, subPath: passwd, readOnly: true}
- {name: files, mountPath: /etc/group, subPath: group, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes of ConfigMap `name`: (dict "name" NAME "files" (list "passwd" ...)). */}}
{{- define "condor.configVolumes" -}}
- name: config
  configMap:
    name: {{ .name }}
    items: [{key: site.conf, path: site.conf}]
{{- with .files }}
- name: files
  configMap:
    name: {{ $.name }}
    defaultMode: 0555
    items:
      {{- range . }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- end -}}

{{/*
A file of a Secret as HTCondor wants it, its own and nobody else's, by an init container: (dict "root" $ "secret" {name, key}
"volume" NAME "directory" D "isRoot" true). A mounted Secret cannot have this owner and mode.
*/}}
{{- define "condor.ownSecret" -}}
- name: {{ .volume }}
  image: {{ include "library.image" (dict "root" .root "image" .root.Values.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [install, -m, "0400", {{ printf "/secret/%s" .secret.key }}, {{ printf "%s/%s" .directory .secret.key }}]
  securityContext:
    {{- if .isRoot }}
    {{- include "condor.root" . | nindent 4 }}
    {{- else }}
    {{- include "library.securityContext" . | nindent 4 }}
    {{- end }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 32Mi}
  volumeMounts:
    - {name: {{ .volume }}-secret, mountPath: /secret, readOnly: true}
    - {name: {{ .volume }}, mountPath: {{ .directory }}}
{{- end -}}

{{- define "condor.ownSecret.volume" -}}
- name: {{ .volume }}-secret
  secret:
    secretName: {{ .secret.name }}
    items: [{key: {{ .secret.key }}, path: {{ .secret.key }}}]
{{- end -}}

{{/* Where jobs work: (dict "root" $ "component" "startd" "pod" .Values.startd). */}}
{{- define "condor.scratch" -}}
- name: work
  {{- if .pod.scratch.storageClassName }}
  {{- if semverCompare "<1.21-0" .root.Capabilities.KubeVersion.Version }}
  {{- fail "scratch.storageClassName: this cluster has no generic ephemeral volumes (Kubernetes 1.21)" }}
  {{- end }}
  ephemeral:
    volumeClaimTemplate:
      metadata:
        labels:
          {{- include "library.podLabels" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .pod.scratch.storageClassName }}
        resources: {requests: {storage: {{ .pod.scratch.size }}}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .pod.scratch.size }}}
  {{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ .pod.scratch.tmpSize }}}
{{- end -}}

{{/* cvmfs: the init container that waits for it, the mount, the volume. All take the chart's root. */}}
{{- define "condor.cvmfs.wait" -}}
- name: cvmfs
  image: {{ include "library.image" (dict "root" . "image" .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c]
  args:
    - |
      # listed, since a mount point without its mount is there too; a node whose cvmfs is not well keeps its pods waiting
      for repository in {{ join " " .Values.cvmfs.repositories }}; do
        until [ -n "$(timeout -k 1 30 ls "/cvmfs/$repository" 2>/dev/null)" ]; do
          echo "waiting for /cvmfs/$repository"
          sleep 5
        done
      done
  securityContext:
    {{- include "library.securityContext" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    {{- include "condor.cvmfs.mount" . | nindent 4 }}
{{- end -}}

{{- define "condor.cvmfs.mount" -}}
- {name: cvmfs, mountPath: /cvmfs, mountPropagation: HostToContainer, readOnly: true}
{{- end -}}

{{- define "condor.cvmfs.volume" -}}
- name: cvmfs
  {{- if eq .Values.cvmfs.kind "claim" }}
  persistentVolumeClaim: {claimName: {{ .Values.cvmfs.claimName }}, readOnly: true}
  {{- else }}
  hostPath: {path: {{ .Values.cvmfs.path }}, type: Directory}
  {{- end }}
{{- end -}}

{{/*
Probes ask the master how its daemons are: (dict "daemon" "STARTD"). The master looks after the daemons itself and restarts
what hangs; it is restarted when it does not answer. While it drains it still does.
*/}}
{{- define "condor.probes" -}}
startupProbe:
  exec:
    command: {{ include "condor.ask" (printf "%s_State = \"Ready\"" .daemon) }}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 60
readinessProbe:
  exec:
    command: {{ include "condor.ask" (printf "%s_State = \"Ready\"" .daemon) }}
  periodSeconds: 30
  timeoutSeconds: 20
livenessProbe:
  exec:
    command: {{ include "condor.ask" "MASTER = " }}
  periodSeconds: 60
  timeoutSeconds: 30
  failureThreshold: 5
{{- end -}}

{{- define "condor.ask" -}}
{{- list "sh" "-c" (printf "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS=FS condor_who -quick | grep -qi '^ *%s'" .) | toRawJson -}}
{{- end -}}

{{/*
Those who run payloads, autoscaled: (dict "root" $ "component" "startd" "name" NAME "pod" .Values.startd "config" TEXT
"environment" MAP "service" NAME-OF-THE-DEMAND). The environment is the payloads' too.
*/}}
{{- define "condor.execute.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
data:
  site.conf: |
    {{- .config | nindent 4 }}
  {{- include "condor.execute.files" . | nindent 2 }}
{{- end -}}

{{- define "condor.execute.deployment" -}}
{{- $values := .root.Values -}}
{{- $own := . -}}
{{- $c := include "condor.credentials" .root | fromYaml -}}
{{- $side := dict "root" .root "credentials" $c "uid" $values.uid "gid" $values.gid -}}
{{- $cvmfs := ne $values.cvmfs.kind "none" -}}
{{- $files := include "condor.execute.files" . -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" $own | nindent 4 }}
spec:
  {{- if not .pod.autoscaling.enabled }}
  replicas: {{ .pod.replicas }}
  {{- end }}
  # a pod that drains keeps its resources for long: new ones wait for them
  strategy:
    rollingUpdate: {maxSurge: 0, maxUnavailable: 25%}
  selector:
    matchLabels:
      {{- include "library.selectorLabels" $own | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "library.podLabels" $own | nindent 8 }}
      annotations:
        checksum/config: {{ printf "%s%s" .config $files | sha256sum }}
    spec:
      {{- include "library.podSpec" $own | nindent 6 }}
      {{- include "library.topologySpread" $own | nindent 6 }}
      serviceAccountName: {{ .name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "library.podSecurityContext" $values | nindent 8 }}
      initContainers:
        {{- if $cvmfs }}
        {{- include "condor.cvmfs.wait" .root | nindent 8 }}
        {{- end }}
        {{- include "condor.directories" (dict "root" .root "isRoot" (eq $values.payload.isolation "uid")) | nindent 8 }}
        {{- if $c.enabled }}
        {{- include "library.sidecar.init" $side | nindent 8 }}
        {{- end }}
      containers:
        {{- if $c.enabled }}
        {{- include "library.sidecar.container" $side | nindent 8 }}
        {{- end }}
        - name: {{ .component }}
          image: {{ include "library.image" (dict "root" .root "image" $values.image) }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          command: [condor_master, -f]
          ports:
            - {name: condor, containerPort: 9618, protocol: TCP}
          env:
            - name: _CONDOR_NUM_CPUS
              valueFrom: {resourceFieldRef: {resource: requests.cpu}}
            - name: _CONDOR_MEMORY
              valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}
            {{- $environment := deepCopy .environment }}
            {{- if $c.enabled }}
            {{- if $c.proxy.enabled }}
            {{- $_ := set $environment "X509_USER_PROXY" (printf "%s/%s" $c.directory $c.proxy.file) }}
            {{- end }}
            {{- if $c.bearer.enabled }}
            {{- $_ := set $environment "BEARER_TOKEN_FILE" (printf "%s/%s" $c.directory $c.bearer.file) }}
            {{- end }}
            {{- if $c.trust.enabled }}
            {{- $_ := set $environment "X509_CERT_DIR" (printf "%s/certificates" $c.directory) }}
            {{- end }}
            {{- if $c.vomsdir.enabled }}
            {{- $_ := set $environment "X509_VOMS_DIR" (printf "%s/vomsdir" $c.directory) }}
            {{- end }}
            {{- end }}
            {{- range $key, $value := $environment }}
            - {name: {{ $key }}, value: {{ $value | quote }}}
            {{- end }}
          {{- include "condor.probes" (dict "daemon" "STARTD") | nindent 10 }}
          securityContext:
            {{- include "condor.executeSecurityContext" .root | nindent 12 }}
          resources:
            {{- toYaml .pod.resources | nindent 12 }}
          volumeMounts:
            {{- include "condor.mounts" (dict "accounts" true) | nindent 12 }}
            {{- if $cvmfs }}
            - {name: files, mountPath: /etc/condor-files, readOnly: true}
            {{- include "condor.cvmfs.mount" .root | nindent 12 }}
            {{- end }}
            {{- if $c.enabled }}
            {{- include "condor.credentials.mounts" $side | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "condor.configVolumes" (dict "name" .name "files" (keys ($files | fromYaml) | sortAlpha)) | nindent 8 }}
        {{- include "condor.scratch" . | nindent 8 }}
        {{- if $cvmfs }}
        {{- include "condor.cvmfs.volume" .root | nindent 8 }}
        {{- end }}
        {{- if $c.enabled }}
        {{- include "condor.credentials.volumes" $side | nindent 8 }}
        {{- end }}
{{- end -}}

{{/*
By kind an HPA or KEDA's object. Wanted cores by cores of a pod is how many pods there are to be. Scaling down ends pods that
still work; these drain, and are not counted any more. So it waits for as long as an HPA can.
*/}}
{{- define "condor.execute.scaler" -}}
{{- $scaling := .pod.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if not .root.Values.demand.enabled }}
{{- fail (printf "%s.autoscaling needs the demand: demand.enabled" .component) }}
{{- end }}
{{- if eq $scaling.kind "keda" }}
{{- include "condor.execute.scaledObject" . }}
{{- else }}
{{- if eq (int $scaling.minReplicas) 0 }}
{{- fail (printf "%s.autoscaling.minReplicas: an HPA keeps one at least; 0 is for kind keda" .component) }}
{{- end }}
{{- $metric := include "condor.execute.metric" . }}
{{- include "library.horizontalPodAutoscaler" (dict "root" .root "component" .component "name" .name "kind" "Deployment" "autoscaling" $scaling "metric" $metric "stabilization" 3600) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "condor.execute.metric" -}}
- type: Object
  object:
    metric: {name: stateless_site_wanted_cores}
    describedObject: {apiVersion: v1, kind: Service, name: {{ .service }}}
    target: {type: AverageValue, averageValue: {{ include "condor.cores" .pod | quote }}}
{{- end -}}

{{- define "condor.execute.scaledObject" -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ .name }}}
  minReplicaCount: {{ .pod.autoscaling.minReplicas }}
  maxReplicaCount: {{ .pod.autoscaling.maxReplicas }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown: {stabilizationWindowSeconds: 3600}
  triggers:
    - type: prometheus
      metadata:
        serverAddress: {{ required "autoscaling.prometheus is missing: where does KEDA ask?" .pod.autoscaling.prometheus }}
        query: max(stateless_site_wanted_cores{namespace={{ .root.Release.Namespace | quote }},service={{ .service | quote }}})
        threshold: {{ include "condor.cores" .pod | quote }}
        # no answer is not zero: without the metric all stays as it is
        ignoreNullValues: "false"
{{- end -}}

{{/* The exporter of what is wanted: (dict "root" $ "name" NAME "collectors" LIST "site" NAME-OR-EMPTY). */}}
{{- define "condor.demand.deployment" -}}
{{- $values := .root.Values -}}
{{- $own := dict "root" .root "component" "demand" "pod" $values.demand -}}
{{- $side := dict "root" .root "credentials" (include "condor.credentials.idtoken" (dict "root" .root "profile" $values.demand.profile) | fromYaml) "uid" $values.uid "gid" $values.gid -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" $own | nindent 4 }}
spec:
  replicas: 1
  selector:
    matchLabels:
      {{- include "library.selectorLabels" $own | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "library.podLabels" $own | nindent 8 }}
      annotations:
        checksum/config: {{ include "condor.demand.config" $values | sha256sum }}
    spec:
      {{- include "library.podSpec" $own | nindent 6 }}
      serviceAccountName: {{ .name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "library.podSecurityContext" $values | nindent 8 }}
      {{- if $values.credentials.enabled }}
      initContainers:
        {{- include "library.sidecar.init" $side | nindent 8 }}
      {{- end }}
      containers:
        {{- if $values.credentials.enabled }}
        {{- include "library.sidecar.container" $side | nindent 8 }}
        {{- end }}
        - name: demand
          image: {{ include "library.image" (dict "root" .root "image" $values.credentials.image) }}
          imagePullPolicy: {{ $values.credentials.image.pullPolicy }}
          command: [python, -m, k8s_manifests.exporters.condor]
          args:
            - --listen=0.0.0.0:9118
            {{- range .collectors }}
            - --collector={{ . }}
            {{- end }}
            {{- with .site }}
            - --site={{ . }}
            {{- end }}
            - {{ printf "--jobs=%s" $values.demand.jobs | quote }}
            - --interval={{ $values.demand.interval }}
            - --forget={{ $values.demand.forget }}
          env:
            - {name: CONDOR_CONFIG, value: /etc/condor/condor_config}
          ports:
            - {name: demand, containerPort: 9118, protocol: TCP}
          readinessProbe: &asked
            httpGet: {path: /metrics, port: demand}
            periodSeconds: 20
            timeoutSeconds: 5
          livenessProbe: *asked
          securityContext:
            {{- include "library.securityContext" . | nindent 12 }}
          resources:
            {{- toYaml $values.demand.resources | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/condor, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- if $values.credentials.enabled }}
            {{- include "condor.credentials.mounts" $side | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap: {name: {{ .name }}}
        - name: tmp
          emptyDir: {sizeLimit: 16Mi}
        {{- if $values.credentials.enabled }}
        {{- include "condor.credentials.volumes" $side | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* The configuration of the bindings: takes the values. */}}
{{- define "condor.demand.config" -}}
{{ include "condor.config.security" .credentials }}
{{- end -}}

{{- define "condor.demand.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" (dict "root" .root "component" "demand") | nindent 4 }}
data:
  condor_config: |
    {{- include "condor.demand.config" .root.Values | nindent 4 }}
{{- end -}}

{{- define "condor.demand.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" (dict "root" .root "component" "demand") | nindent 4 }}
spec:
  selector:
    {{- include "library.selectorLabels" (dict "root" .root "component" "demand") | nindent 4 }}
  ports:
    - {name: demand, port: 9118, targetPort: demand, protocol: TCP}
{{- end -}}

{{/* As library.podMonitor, and with the label by which adapters find the metric of the Service. */}}
{{- define "condor.demand.podMonitor" -}}
{{- $own := dict "root" .root "component" "demand" -}}
{{- $monitor := .root.Values.metrics.podMonitor -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" $own | nindent 4 }}
    {{- with $monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "library.selectorLabels" $own | nindent 6 }}
  podMetricsEndpoints:
    - port: demand
      interval: {{ $monitor.interval }}
      relabelings:
        - {targetLabel: service, replacement: {{ .name }}}
    {{- if .root.Values.credentials.enabled }}
    - port: credentials
      interval: {{ $monitor.interval }}
    {{- end }}
{{- end -}}

{{/* A policy's ingress for a pod with a sidecar and further ports: (dict "root" $ "ports" (list 9118)). */}}
{{- define "condor.ingress.monitoring" -}}
{{- $ports := .ports | default list -}}
{{- if .root.Values.credentials.enabled -}}
{{- $ports = append $ports .root.Values.credentials.healthPort -}}
{{- end -}}
{{- if and .root.Values.metrics.enabled $ports -}}
{{ include "library.ingress.monitoring" (dict "root" .root "ports" $ports) }}
{{- end -}}
{{- end -}}

{{/* Where payloads, and HTCondor on their behalf, may go. */}}
{{- define "condor.egress.payloads" -}}
- to:
    {{- include "library.peer" (dict "name" "squid" "component" "squid") | nindent 4 }}
  ports:
    - {port: 3128, protocol: TCP}
- to:
    {{- include "library.peer" (dict "name" "xcache" "component" "redirector") | nindent 4 }}
    {{- include "library.peer" (dict "name" "xcache" "component" "cache") | nindent 4 }}
  ports:
    - {port: 1094, protocol: TCP}
- to:
    {{- include "library.anywhere" . | nindent 4 }}
  ports:
    - {protocol: TCP}
{{- end -}}

{{/* Ports of collectors: a range where the cluster knows ranges, each by itself below Kubernetes 1.22. */}}
{{- define "condor.collectorPorts" -}}
{{- if semverCompare ">=1.22-0" .Capabilities.KubeVersion.Version -}}
- {port: 9618, endPort: 9720, protocol: TCP}
{{- else }}
{{- range untilStep 9618 9721 1 }}
- {port: {{ . }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end -}}

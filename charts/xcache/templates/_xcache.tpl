{{/* The redirectors' own names, from where caches and redirectors are told of each other, one a line. */}}
{{- define "xcache.managers" -}}
{{- $name := printf "%s-redirector" (include "library.fullname" .) -}}
{{- range until (int .Values.redirector.replicas) }}
all.manager all {{ $name }}-{{ . }}.{{ $name }}-peers.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:3121
{{- end }}
{{- end -}}

{{/* What a server says of the paths: (dict "root" $ "options" "r/o"). */}}
{{- define "xcache.exports" -}}
{{- $options := .options -}}
{{- range .root.Values.exports }}
all.export {{ . }} {{ $options }}
{{- end }}
{{- end -}}

{{/* A size as XRootD writes it: 1024 is 1k there, too. */}}
{{- define "xcache.size" -}}
{{- . | replace "i" "" | lower -}}
{{- end -}}

{{/* Of a volume that is a directory of its node's disk, what is said of the whole disk says nothing: files are counted. */}}
{{- define "xcache.fileLimits" -}}
{{- $cache := .Values.cache -}}
{{- $size := include "xrootd.bytes" $cache.volume.size -}}
files {{ mulf $size 0.9 $cache.lowWatermark | int64 }} {{ mulf $size $cache.lowWatermark | int64 }} {{ mulf $size $cache.highWatermark | int64 }}
{{- end -}}

{{- define "xcache.cache.config" -}}
{{- $cache := .Values.cache -}}
{{- $origin := .Values.origin -}}
{{- if ge (float64 $cache.lowWatermark) (float64 $cache.highWatermark) -}}
{{- fail (printf "cache.lowWatermark (%v) is not below cache.highWatermark (%v): files are deleted when the disk is fuller than the high one, until it is as full as the low one." $cache.lowWatermark $cache.highWatermark) -}}
{{- end -}}
# xrootd and cmsd of a cache read the same file
all.role server
{{- include "xcache.managers" . }}
{{ include "xrootd.config.common" . }}
oss.localroot /data

if exec cmsd
# What is not in this cache it can get, as a tape system would; so the redirector sends readers of one file to one cache.
{{- include "xcache.exports" (dict "root" . "options" "stage r/o") }}
# a full disk is as it should be
cms.space min 1m 1m
else
xrd.port 1094
# it would write at the origin with its own rights, whoever writes here
{{- include "xcache.exports" (dict "root" . "options" "r/o") }}
ofs.osslib libXrdPss.so
pss.cachelib libXrdPfc.so
pss.origin {{ if eq $origin.protocol "https" }}https://{{ end }}{{ $origin.host }}:{{ $origin.port }}
pss.config streams {{ $cache.streams }}
pfc.ram {{ include "xcache.size" $cache.ram }}
pfc.blocksize {{ $cache.blockSize }}
pfc.prefetch {{ $cache.prefetch }}
# looked at each minute: what comes in between has to find room above the high watermark
pfc.diskusage {{ $cache.lowWatermark }} {{ $cache.highWatermark }}{{ if not $cache.volume.persistent }} {{ include "xcache.fileLimits" . }}{{ end }} purgeinterval 60
pfc.trace {{ $cache.logLevel }}
{{- include "xrootd.config.report" (dict "root" . "cache" true) }}
{{ include "xrootd.config.security" . }}
{{- with $cache.config }}
{{ . }}
{{- end }}
fi
{{- end -}}

{{/* No login: it has no files, and whom it sends to asks who it is. */}}
{{- define "xcache.redirector.config" -}}
all.role manager
{{- include "xcache.managers" . }}
{{ include "xrootd.config.common" . }}
{{- include "xcache.exports" (dict "root" . "options" "stage r/o") }}

if exec cmsd
xrd.port 3121
{{- if .Values.redirector.checkNames }}
{{- $name := include "library.fullname" . }}
{{- $domain := printf "%s.svc.%s" .Release.Namespace .Values.clusterDomain }}
cms.allow host *.{{ $name }}-cache.{{ $domain }}
cms.allow host *.{{ $name }}-redirector-peers.{{ $domain }}
{{- end }}
# seconds: caches come within moments of a start, and say at once whether they have a file; none waits longer for nothing
cms.delay startup 10 servers 1 lookup 1 drop 10
# a full disk is as it should be
cms.space min 1m 1m
{{- if .Values.metrics.enabled }}
xrd.report 127.0.0.1:9931 every 15s all
{{- end }}
else
xrd.port 1094
{{- include "xrootd.config.report" (dict "root" . "cache" false) }}
{{- with .Values.redirector.config }}
{{ . }}
{{- end }}
fi
{{- end -}}

{{- define "xcache.proxy.config" -}}
all.role server
xrd.port 1094
{{ include "xrootd.config.common" . }}
{{- include "xcache.exports" (dict "root" . "options" "r/o") }}
ofs.osslib libXrdPss.so
pss.origin {{ include "library.fullname" . }}-redirector.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:1094
{{- include "xrootd.config.report" (dict "root" . "cache" false) }}
{{ include "xrootd.config.security" . }}
{{- with .Values.proxy.config }}
{{ . }}
{{- end }}
{{- end -}}

{{/* What the proxy shows the caches. */}}
{{- define "xcache.proxy.credential" -}}
{{- if .Values.gsi.enabled }}proxy{{ else if .Values.scitokens.enabled }}token{{ else }}none{{ end -}}
{{- end -}}

{{/*
A cache's resources. Memory that no value says is what it needs: cache.ram and a quarter more for what lies around the
blocks, 512Mi for itself and its connections. A limit below that would end it under load.
*/}}
{{- define "xcache.cache.resources" -}}
{{- $cache := .Values.cache -}}
{{- $needed := addf (mulf (include "xrootd.bytes" $cache.ram) (divf 1.25 1048576)) 512 | ceil | int -}}
{{- $resources := deepCopy $cache.resources -}}
{{- $limits := default dict $resources.limits -}}
{{- with $limits.memory -}}
{{- if lt (include "xrootd.bytes" (toString .) | int64) (mul $needed 1048576) -}}
{{- fail (printf "cache.resources.limits.memory is %v, and a cache needs %dMi: cache.ram (%s), a quarter of that, 512Mi. Raise the limit, or leave it out; or lower cache.ram." . $needed $cache.ram) -}}
{{- end -}}
{{- end -}}
{{- $limits = merge $limits (dict "memory" (printf "%dMi" $needed)) -}}
{{- $requests := merge (default dict $resources.requests) (dict "memory" $limits.memory) -}}
{{- toYaml (dict "requests" $requests "limits" $limits) -}}
{{- end -}}

{{/* The cmsd of a cache or redirector: (dict "root" $ "data" true); `data` where there are files. Its probes follow. */}}
{{- define "xcache.cmsd" -}}
- name: cmsd
  {{- include "xrootd.container" .root | nindent 2 }}
  command: [cmsd, -c, /etc/xrootd-site/xrootd.cfg, -n, site]
  resources:
    {{- toYaml .root.Values.cmsd.resources | nindent 4 }}
  volumeMounts:
    {{- include "xrootd.mounts" .root | nindent 4 }}
    {{- if .data }}
    - {name: data, mountPath: /data, readOnly: true}
    {{- end }}
{{- end -}}

{{/* Who reads inside the site. */}}
{{- define "xcache.readers" -}}
{{ include "library.peer" (dict "name" "wn" "component" "startd") }}
{{ include "library.peer" (dict "name" "htcondor" "component" "execute") }}
{{- if .Values.proxy.enabled }}
{{ include "library.peer" (dict "name" "xcache" "component" "proxy") }}
{{- end }}
{{- end -}}

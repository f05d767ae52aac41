{{/* A quantity of Kubernetes in whole MiB: "1.5Gi" is 1536. */}}
{{- define "squid.mebibytes" -}}
{{- $number := regexFind "^[0-9.]+" . | float64 -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- divf (mulf $number (get $factors (regexFind "[A-Za-z]*$" .))) 1048576 | int -}}
{{- end -}}

{{/* Whether there is a cache on disk. */}}
{{- define "squid.onDisk" -}}
{{- if ne (include "squid.mebibytes" .Values.cache.disk.size) "0" }}yes{{ end -}}
{{- end -}}

{{/*
The MiB that squid needs: its cache in memory and half as much for what lies around the objects (measured with objects of
3 kB; less with larger ones), 14 for each GiB on disk (the index of it is in memory), 256 for itself.
*/}}
{{- define "squid.neededMebibytes" -}}
{{- $memory := mulf (include "squid.mebibytes" .Values.cache.memory) 1.5 -}}
{{- $index := mulf (include "squid.mebibytes" .Values.cache.disk.size) (divf 14 1024) -}}
{{- addf $memory $index 256 | ceil | int -}}
{{- end -}}

{{/* Its resources. Memory that no value says is what it needs; a limit below that would end squid when its cache is full. */}}
{{- define "squid.resources" -}}
{{- $needed := include "squid.neededMebibytes" . | int -}}
{{- $resources := deepCopy .Values.squid.resources -}}
{{- $limits := default dict $resources.limits -}}
{{- with $limits.memory -}}
{{- if lt (include "squid.mebibytes" (toString .) | int) $needed -}}
{{- fail (printf "squid.resources.limits.memory is %v, and squid needs %dMi: cache.memory (%s) and half as much, 14Mi for each Gi of cache.disk.size (%s), 256Mi. Raise the limit, or leave it out; or lower the caches." . $needed $.Values.cache.memory $.Values.cache.disk.size) -}}
{{- end -}}
{{- end -}}
{{- $limits = merge $limits (dict "memory" (printf "%dMi" $needed)) -}}
{{- $requests := merge (default dict $resources.requests) (dict "memory" $limits.memory) -}}
{{- toYaml (dict "requests" $requests "limits" $limits) -}}
{{- end -}}

{{/*
Seconds that squid waits for its clients; it always waits them all. Of the grace period 5 go before, until the Service has
forgotten the pod, and 10 are left for it to close its files.
*/}}
{{- define "squid.shutdownLifetime" -}}
{{- sub .Values.squid.terminationGracePeriodSeconds 15 -}}
{{- end -}}

{{- define "squid.probe" -}}
httpGet: {path: /squid-internal-static/icons/SN.png, port: http}
{{- end -}}

{{/* What squid has in common with its first turn. */}}
{{- define "squid.container" -}}
image: {{ include "library.image" (dict "root" $ "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "library.securityContext" . | nindent 2 }}
resources:
  {{- include "squid.resources" . | nindent 2 }}
volumeMounts:
  # One file: the image has others in this directory.
  - {name: config, mountPath: /etc/squid/squid.conf, subPath: squid.conf, readOnly: true}
  {{- if include "squid.onDisk" . }}
  - {name: cache, mountPath: /var/cache/squid}
  {{- end }}
{{- end -}}

{{/* A quantity of Kubernetes in whole MiB: "1.5Gi" is 1536. */}}
{{- define "cvmfs.mebibytes" -}}
{{- $number := regexFind "^[0-9.]+" . | float64 -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- divf (mulf $number (get $factors (regexFind "[A-Za-z]*$" .))) 1048576 | int -}}
{{- end -}}

{{/* The key of a ConfigMap for a path, which has slashes, and a key has none. */}}
{{- define "cvmfs.key" -}}{{ . | replace "/" "." }}{{- end -}}

{{- define "cvmfs.siteconf" -}}{{ include "library.fullname" . }}-siteconf{{- end -}}

{{- define "cvmfs.storageClass" -}}
{{- default (printf "%s-%s" .Release.Namespace (include "library.fullname" .)) .Values.csi.storageClass.name -}}
{{- end -}}

{{/* /etc/cvmfs/default.local, which goes before all but the files of a domain or a repository. */}}
{{- define "cvmfs.defaultLocal" -}}
CVMFS_HTTP_PROXY='{{ .Values.proxy }}{{ if .Values.direct }};DIRECT{{ end }}'
CVMFS_REPOSITORIES='{{ join "," .Values.repositories }}'
CVMFS_QUOTA_LIMIT='{{ mulf (include "cvmfs.mebibytes" .Values.cache.size) 0.8 | int }}'
{{- if eq .Values.mode "csi" }}
CVMFS_CACHE_BASE='/cvmfs-localcache'
{{- else }}
CVMFS_USYSLOG='/var/log/cvmfs.log'
{{- end }}
{{- if .Values.siteconf.files }}
export CMS_LOCAL_SITE='/etc/cvmfs/SITECONF/local'
{{- end }}
{{- range $name, $value := .Values.parameters }}
{{ $name }}='{{ $value }}'
{{- end }}
{{- end -}}

{{/* The file below config.d for which a path stands. Others cannot be had of the driver. */}}
{{- define "cvmfs.configd" -}}
{{- if not (hasPrefix "config.d/" .) -}}
{{- fail (printf "files: %s: the CSI driver takes files in config.d alone" .) -}}
{{- end -}}
{{- trimPrefix "config.d/" . -}}
{{- end -}}

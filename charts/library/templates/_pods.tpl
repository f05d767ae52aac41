{{/*
What every pod's spec begins with: (dict "root" $ "component" "cache" "pod" .Values.cache). `pod` may have nodeSelector,
tolerations, affinity, priorityClassName, terminationGracePeriodSeconds; pull secrets are the chart's.
No pod gets the cluster's own token unless its template says so itself.
*/}}
{{- define "library.podSpec" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.terminationGracePeriodSeconds }}
terminationGracePeriodSeconds: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One pod a node before two on one: (dict "root" $ "component" "cache"). Preferred, so that a small cluster runs too. */}}
{{- define "library.topologySpread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "library.selectorLabels" . | nindent 8 }}
{{- end -}}

{{/* The service account of a component: (dict "root" $ "component" "cache" "name" NAME). */}}
{{- define "library.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}

{{/*
A PodDisruptionBudget: (dict "root" $ "component" "cache" "name" NAME "pdb" .Values.cache.pdb); pdb is {enabled,
maxUnavailable}. maxUnavailable, since minAvailable with one replica would block every drain of a node.
*/}}
{{- define "library.podDisruptionBudget" -}}
{{- if .pdb.enabled }}
apiVersion: {{ .root.Capabilities.APIVersions.Has "policy/v1/PodDisruptionBudget" | ternary "policy/v1" (semverCompare ">=1.21-0" .root.Capabilities.KubeVersion.Version | ternary "policy/v1" "policy/v1beta1") }}
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .pdb.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "library.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/*
A PodMonitor for ports by their names: (dict "root" $ "component" "cache" "name" NAME "ports" (list "metrics")
"monitor" .Values.metrics.podMonitor); monitor is {enabled, labels, interval}.
*/}}
{{- define "library.podMonitor" -}}
{{- if .monitor.enabled }}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
    {{- with .monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "library.selectorLabels" . | nindent 6 }}
  podMetricsEndpoints:
    {{- $monitor := .monitor }}
    {{- range .ports }}
    - port: {{ . }}
      interval: {{ $monitor.interval }}
    {{- end }}
{{- end }}
{{- end -}}

{{/*
A HorizontalPodAutoscaler on one custom metric: (dict "root" $ "component" "cache" "name" NAME "kind" "StatefulSet"
"autoscaling" .Values.cache.autoscaling "metric" YAML-TEXT "stabilization" SECONDS); autoscaling is {enabled, minReplicas,
maxReplicas}. The metric's text is one entry of `spec.metrics` in the form of autoscaling/v2, which v2beta2 shares.
*/}}
{{- define "library.horizontalPodAutoscaler" -}}
{{- if .autoscaling.enabled }}
apiVersion: {{ semverCompare ">=1.23-0" .root.Capabilities.KubeVersion.Version | ternary "autoscaling/v2" "autoscaling/v2beta2" }}
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "library.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ .kind }}
    name: {{ .name }}
  minReplicas: {{ .autoscaling.minReplicas }}
  maxReplicas: {{ .autoscaling.maxReplicas }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {{ .stabilization }}
  metrics:
    {{- .metric | nindent 4 }}
{{- end }}
{{- end -}}

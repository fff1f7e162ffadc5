{{/* The release's name, with the chart's name in it. */}}
{{- define "headrace.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; never changes in the life of a release. */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: headrace-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: headrace
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "headrace.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headrace.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image reference from (list VALUES DEFAULT-TAG). */}}
{{- define "headrace.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do with its resources and their children, in whichever namespaces it serves. */}}
{{- define "headrace.rules" -}}
- apiGroups: [headrace.dev]
  resources: [valkeyworkers, pulsarbridges]
  verbs: [get, list, watch, create, patch, delete] # a HybridPipeline makes these
- apiGroups: [headrace.dev]
  resources: [hybridpipelines]
  verbs: [get, list, watch]
- apiGroups: [headrace.dev]
  resources: [valkeyworkers/status, pulsarbridges/status, hybridpipelines/status]
  verbs: [patch]
- apiGroups: [headrace.dev]
  # Asked for by OwnerReferencesPermissionEnforcement: our owner references block the owner's deletion.
  resources: [valkeyworkers/finalizers, pulsarbridges/finalizers, hybridpipelines/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch] # those that resources refer to
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch] # why a pod does not start
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

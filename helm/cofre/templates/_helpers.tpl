{{/* The name of all that belongs to one release. */}}
{{- define "cofre.name" -}}
{{- if contains "cofre" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-cofre" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "cofre.selector" -}}
app.kubernetes.io/name: cofre
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cofre.labels" -}}
{{ include "cofre.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What follows a pod's name in its DNS name. */}}
{{- define "cofre.domain" -}}
{{ include "cofre.name" . }}-peers.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "cofre.initialCluster" -}}
{{- $name := include "cofre.name" . -}}
{{- $domain := include "cofre.domain" . -}}
{{- $members := list -}}
{{- range $i := until (int .Values.replicas) -}}
{{- $members = append $members (printf "%s-%d=http://%s-%d.%s:2380" $name $i $name $i $domain) -}}
{{- end -}}
{{- join "," $members -}}
{{- end -}}

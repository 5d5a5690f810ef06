{{- define "unhang.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "unhang.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "unhang.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "unhang.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "unhang.selector" -}}
app.kubernetes.io/name: {{ include "unhang.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "unhang.labels" -}}
{{ include "unhang.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "unhang.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "unhang.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "unhang.probe" -}}
{{- if .root.Values.ops.enabled -}}
{ path: {{ .path }}, port: ops }
{{- else if .root.Values.tls.existingSecret -}}
{ path: {{ .path }}, port: http, scheme: HTTPS }
{{- else -}}
{ path: {{ .path }}, port: http }
{{- end }}
{{- end }}

{{- define "unhang.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "unhang.journal" -}}
{{- and .Values.journal.enabled (not .Values.store.postgres.url) }}
{{- end }}

{{- define "unhang.storeUrl" -}}
{{- with .Values.store.postgres -}}
{{ .url }}{{ if or .ca.existingSecret .ca.existingConfigMap }}&sslrootcert=/etc/unhang/postgres/ca.crt{{ end }}
{{- end }}
{{- end }}

{{- define "unhang.postgresPort" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .Values.store.postgres.url).host -}}
{{ default "5432" (trimPrefix ":" $port) }}
{{- end }}

{{- define "proxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "proxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "proxy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "proxy.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "proxy.serviceName" -}}
{{- default (include "proxy.fullname" .) .Values.service.name -}}
{{- end -}}

{{- define "proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "proxy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The namespace whose Services are watched. */}}
{{- define "proxy.watched" -}}
{{- default .Release.Namespace .Values.kubernetes.namespace -}}
{{- end -}}

{{- define "proxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "proxy.labels" -}}
{{ include "proxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "proxy.image" -}}
{{ .Values.image.repository }}:{{ default (printf "%s-cpu" .Chart.AppVersion) .Values.image.tag }}
{{- end -}}

{{/* HTTPS if the environment turns TLS on: kubelet does not verify the certificate. */}}
{{- define "proxy.scheme" -}}
{{- $scheme := "HTTP" -}}
{{- range .Values.env -}}
{{- if and (eq (toString .name) "NIM_SSL_MODE") (has (upper (toString .value)) (list "TLS" "MTLS")) -}}
{{- $scheme = "HTTPS" -}}
{{- end -}}
{{- end -}}
{{- $scheme -}}
{{- end -}}

{{/* One probe: dict "probe" "scheme". Helm reads numbers as floats, so each is converted. */}}
{{- define "proxy.probe" -}}
httpGet:
  path: {{ .probe.path }}
  port: health
{{- if eq .scheme "HTTPS" }}
  scheme: HTTPS
{{- end }}
initialDelaySeconds: {{ int64 .probe.initialDelaySeconds }}
periodSeconds: {{ int64 .probe.periodSeconds }}
timeoutSeconds: {{ int64 .probe.timeoutSeconds }}
successThreshold: {{ int64 .probe.successThreshold }}
failureThreshold: {{ int64 .probe.failureThreshold }}
{{- end -}}

{{- define "nim.pod" -}}
metadata:
  labels:
    {{- include "nim.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "nim.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "nim.graceSeconds" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $key := list "runtimeClassName" "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
  {{- with index $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: nim
      {{- include "nim.container" . | nindent 6 }}
  volumes:
    {{- include "nim.volumes" . | trim | nindent 4 }}
{{- end -}}

{{- define "nim.container" -}}
image: {{ include "nim.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.customCommand }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.customArgs }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- include "nim.env" . | nindent 2 }}
ports:
  - {name: http-openai, containerPort: {{ int64 .Values.model.openaiPort }}}
  - {name: health, containerPort: {{ int64 .Values.model.healthPort }}}
{{- with .Values.startupProbe }}{{ if .enabled }}
startupProbe:
  {{- include "nim.probe" (dict "probe" . "failures" (include "nim.startFailures" $) "scheme" (include "nim.scheme" $)) | nindent 2 }}
{{- end }}{{ end }}
{{- range $name := list "livenessProbe" "readinessProbe" }}
{{- with index $.Values $name }}{{ if .enabled }}
{{ $name }}:
  {{- include "nim.probe" (dict "probe" . "failures" .failureThreshold "scheme" (include "nim.scheme" $)) | nindent 2 }}
{{- end }}{{ end }}
{{- end }}
{{- with int64 .Values.shutdown.delaySeconds }}
# SIGTERM follows, and begins the stop.
lifecycle:
  preStop:
    exec:
      command: [sleep, {{ . | quote }}]
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- with .Values.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "nim.resources" . | trim }}
resources:
  {{- . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "nim.volumeMounts" . | nindent 2 }}
{{- end -}}

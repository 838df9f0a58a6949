{{/* The requested secrets, as a JSON list of name, secret and key. */}}
{{- define "nim.secrets" -}}
{{- $all := list -}}
{{- with .Values.model.ngcAPISecret }}{{ $all = append $all (dict "name" "NGC_API_KEY" "secret" . "key" "NGC_API_KEY") }}{{ end -}}
{{- with .Values.model.hfTokenSecret }}{{ $all = append $all (dict "name" "HF_TOKEN" "secret" . "key" "HF_TOKEN") }}{{ end -}}
{{- concat $all .Values.extraSecrets | toJson -}}
{{- end -}}

{{- define "nim.env" -}}
{{- $model := .Values.model -}}
- name: NIM_SERVER_PORT
  value: {{ int64 $model.openaiPort | quote }}
- name: NIM_HEALTH_PORT
  value: {{ int64 $model.healthPort | quote }}
- name: NIM_CACHE_PATH
  value: {{ $model.nimCache | quote }}
- name: NIM_RUN_DIR
  value: /run/nim/service
- name: NIM_SHUTDOWN_TIMEOUT
  value: {{ int64 .Values.shutdown.seconds | quote }}
- name: NIM_LOG_LEVEL
  value: {{ $model.logLevel | quote }}
- name: NIM_JSONL_LOGGING
  value: {{ ternary "1" "0" $model.jsonLogging | quote }}
{{- range $name, $value := dict "NIM_MODEL_NAME" $model.name "NIM_MODEL_PATH" $model.modelPath "NIM_MODEL_PROFILE" $model.profile }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- if include "nim.cacheIsReadOnly" . }}
- name: NIM_DISABLE_MODEL_DOWNLOAD
  value: "1"
- name: NIM_RUNTIME_CACHE_PATH
  value: /tmp/nim-cache
{{- end }}
{{- range fromJsonArray (include "nim.secrets" .) }}
{{- if eq $.Values.secretsAs "file" }}
- name: {{ .name }}_FILE
  value: /run/secrets/nim/{{ .name }}
{{- else }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Refuses values that are valid alone but not in combination. The schema refuses invalid single values. */}}
{{- define "nim.refusals" -}}
{{- if .Values.multiNode.enabled }}
{{- fail "multiNode.enabled: cannot spread one model over several nodes yet; choose a profile that fits one node" }}
{{- end }}
{{- $model := .Values.model }}
{{- if eq (int64 $model.healthPort) (int64 $model.openaiPort) }}
{{- fail (printf "model.healthPort: cannot be %d, which is model.openaiPort; the probes have a port of their own" (int64 $model.healthPort)) }}
{{- end }}
{{- if has (clean $model.nimCache) (list "/tmp" "/run/nim" "/dev/shm") }}
{{- fail (printf "model.nimCache: cannot be %s, where another volume is mounted; choose a directory like /model-store" $model.nimCache) }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int64 .minReplicas) (int64 .maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas: cannot be %d with maxReplicas %d; it may be as many at most" (int64 .minReplicas) (int64 .maxReplicas)) }}
{{- end }}
{{- end }}
{{- $written := fromYaml (include "nim.written" .) }}
{{- range .Values.env }}
{{- if hasKey $written .name }}
{{- fail (printf "env: cannot set %s, which the chart sets itself; %s" .name (index $written .name)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variables that the chart sets, under all their names, and the values to use instead of `env`. */}}
{{- define "nim.written" -}}
NIM_SERVER_PORT: use model.openaiPort
NIM_HTTP_API_PORT: use model.openaiPort
NIM_HEALTH_PORT: use model.healthPort
NIM_CACHE_PATH: use model.nimCache
NIM_RUN_DIR: leave it out, for it must lie in the volume /run/nim
NIM_NGINX_DIR: leave it out, for it must lie in the volume /run/nim
NIM_SHUTDOWN_TIMEOUT: use shutdown.seconds
NIM_LOG_LEVEL: use model.logLevel
NIM_JSONL_LOGGING: use model.jsonLogging
{{- with .Values.model }}
{{- if .name }}
NIM_MODEL_NAME: use model.name
{{- end }}
{{- if .modelPath }}
NIM_MODEL_PATH: use model.modelPath
{{- end }}
{{- if .profile }}
NIM_MODEL_PROFILE: use model.profile
{{- end }}
{{- end }}
{{- if include "nim.cacheIsReadOnly" . }}
NIM_DISABLE_MODEL_DOWNLOAD: leave it out, for nfs.readOnly asks for it
NIM_RUNTIME_CACHE_PATH: leave it out, for nfs.readOnly asks for it
{{- end }}
{{- range fromJsonArray (include "nim.secrets" .) }}
{{ .name }}: it comes from the Secret {{ .secret }}
{{ .name }}_FILE: {{ .name }} comes from the Secret {{ .secret }}
{{- end }}
{{- end -}}

{{/* Refuses values that are valid alone but not in combination. The schema refuses invalid single values. */}}
{{- define "proxy.refusals" -}}
{{- if not (or .Values.backends .Values.kubernetes.enabled) }}
{{- fail "backends: cannot be empty with kubernetes.enabled=false, for nothing would be behind the proxy; name one" }}
{{- end }}
{{- if eq (int64 .Values.healthPort) (int64 .Values.openaiPort) }}
{{- fail (printf "healthPort: cannot be %d, which is openaiPort; the probes have a port of their own" (int64 .Values.healthPort)) }}
{{- end }}
{{- range $name, $value := .Values.service.labels }}
{{- if and $.Values.kubernetes.enabled (eq (printf "%s=%s" $name $value) $.Values.kubernetes.selector) }}
{{- fail (printf "service.labels: cannot have %s=%s, which is kubernetes.selector: the proxy would send requests to itself" $name $value) }}
{{- end }}
{{- end }}
{{- $keys := dict }}
{{- range .Values.backendKeys }}
{{- $_ := set $keys .name .secret }}
{{- end }}
{{- $given := dict }}
{{- range .Values.env }}
{{- $_ := set $given .name true }}
{{- end }}
{{- range .Values.backends }}
{{- if and .key_env (not (or (hasKey $keys .key_env) (hasKey $given .key_env))) }}
{{- fail (printf "backends: cannot find %s, the key_env of %s, in backendKeys; name the Secret that has it" .key_env .name) }}
{{- end }}
{{- end }}
{{- $written := fromYaml (include "proxy.written" .) }}
{{- range .Values.env }}
{{- if hasKey $written .name }}
{{- fail (printf "env: cannot set %s, which the chart sets itself; %s" .name (index $written .name)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variables that the chart sets, under all their names, and the values to use instead of `env`. */}}
{{- define "proxy.written" -}}
NIM_SERVER_PORT: use openaiPort
NIM_HTTP_API_PORT: use openaiPort
NIM_HEALTH_PORT: use healthPort
NIM_RUN_DIR: leave it out, for it must lie in the volume /run/nim
NIM_NGINX_DIR: leave it out, for it must lie in the volume /run/nim
NIM_SHUTDOWN_TIMEOUT: use shutdown.seconds
NIM_LOG_LEVEL: use logLevel
NIM_JSONL_LOGGING: use jsonLogging
NIM_PROXY_BACKENDS: use backends
{{- if .Values.apiKeysSecret }}
NIM_API_KEYS_FILE: it comes from the Secret {{ .Values.apiKeysSecret }}
{{- end }}
{{- range .Values.backendKeys }}
{{ .name }}: it comes from the Secret {{ .secret }}
{{- end }}
{{- end -}}

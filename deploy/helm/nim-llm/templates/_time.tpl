{{/* All computations of time. Helm reads numbers as floats, so each is converted to an integer for output. */}}

{{/* Seconds that a start may take: the download and the loading time. */}}
{{- define "nim.startSeconds" -}}
{{- $s := .Values.startup -}}
{{- addf (divf (mulf $s.downloadGB 1000.0) $s.downloadMBps) $s.loadSeconds | ceil | int64 -}}
{{- end -}}

{{/* The failures that the startup probe allows. The last one stops the container at once, one period before the next
     probe, hence the additional 1. */}}
{{- define "nim.startFailures" -}}
{{- $p := .Values.startupProbe -}}
{{- if $p.failureThreshold -}}
{{- int64 $p.failureThreshold -}}
{{- else -}}
{{- $left := subf (float64 (include "nim.startSeconds" .)) $p.initialDelaySeconds -}}
{{- max 1 (add1 (int64 (ceil (divf $left $p.periodSeconds)))) -}}
{{- end -}}
{{- end -}}

{{/* The least seconds that a start is granted: from `startup`, or from an explicit failureThreshold. */}}
{{- define "nim.grantedSeconds" -}}
{{- $p := .Values.startupProbe -}}
{{- if and $p.enabled $p.failureThreshold -}}
{{- add (int64 $p.initialDelaySeconds) (mul (int64 $p.periodSeconds) (sub (int64 $p.failureThreshold) 1)) -}}
{{- else -}}
{{- include "nim.startSeconds" . -}}
{{- end -}}
{{- end -}}

{{/* The grace period in seconds: the delay, the service's own budget, and a margin. */}}
{{- define "nim.graceSeconds" -}}
{{- $s := .Values.shutdown -}}
{{- add (int64 $s.delaySeconds) (int64 $s.seconds) 5 -}}
{{- end -}}

{{/* HTTPS if the environment turns TLS on: kubelet does not verify the certificate. */}}
{{- define "nim.scheme" -}}
{{- $scheme := "HTTP" -}}
{{- range .Values.env -}}
{{- if and (eq (toString .name) "NIM_SSL_MODE") (has (upper (toString .value)) (list "TLS" "MTLS")) -}}
{{- $scheme = "HTTPS" -}}
{{- end -}}
{{- end -}}
{{- $scheme -}}
{{- end -}}

{{/* One probe: dict "probe" "failures" "scheme". */}}
{{- define "nim.probe" -}}
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
failureThreshold: {{ int64 .failures }}
{{- end -}}

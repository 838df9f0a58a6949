{{/* All arithmetic about time. Helm reads numbers as floats: each is made whole before it is written. */}}

{{/* Seconds that a start may take: the download and what follows it. */}}
{{- define "nim.startSeconds" -}}
{{- $s := .Values.startup -}}
{{- addf (divf (mulf $s.downloadGB 1000.0) $s.downloadMBps) $s.loadSeconds | ceil | int64 -}}
{{- end -}}

{{/* How often the startup probe may fail. The last failure allowed ends the container at once, one period before the
     next would come, hence the 1. */}}
{{- define "nim.startFailures" -}}
{{- $p := .Values.startupProbe -}}
{{- if $p.failureThreshold -}}
{{- int64 $p.failureThreshold -}}
{{- else -}}
{{- $left := subf (float64 (include "nim.startSeconds" .)) $p.initialDelaySeconds -}}
{{- max 1 (add1 (int64 (ceil (divf $left $p.periodSeconds)))) -}}
{{- end -}}
{{- end -}}

{{/* Seconds that a start is granted: what `startup` says, or the window that is given instead, at the least. */}}
{{- define "nim.grantedSeconds" -}}
{{- $p := .Values.startupProbe -}}
{{- if and $p.enabled $p.failureThreshold -}}
{{- add (int64 $p.initialDelaySeconds) (mul (int64 $p.periodSeconds) (sub (int64 $p.failureThreshold) 1)) -}}
{{- else -}}
{{- include "nim.startSeconds" . -}}
{{- end -}}
{{- end -}}

{{/* What Kubernetes grants: the delay, the service's own budget, and a margin to end in. */}}
{{- define "nim.graceSeconds" -}}
{{- $s := .Values.shutdown -}}
{{- add (int64 $s.delaySeconds) (int64 $s.seconds) 5 -}}
{{- end -}}

{{/* One probe: dict "probe" "failures". */}}
{{- define "nim.probe" -}}
httpGet:
  path: {{ .probe.path }}
  port: health
initialDelaySeconds: {{ int64 .probe.initialDelaySeconds }}
periodSeconds: {{ int64 .probe.periodSeconds }}
timeoutSeconds: {{ int64 .probe.timeoutSeconds }}
successThreshold: {{ int64 .probe.successThreshold }}
failureThreshold: {{ int64 .failures }}
{{- end -}}

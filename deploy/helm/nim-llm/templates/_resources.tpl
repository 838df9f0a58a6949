{{/*
The container's resources. The chart's default of one GPU is replaced by other devices in the values: a MIG slice, a
shared GPU, another vendor's plugin or a resource claim, since no node provides both. A device only in `requests`
becomes a limit as well, because Kubernetes requires both to be set and equal.
*/}}
{{- define "nim.resources" -}}
{{- $gpu := "nvidia.com/gpu" }}
{{- $resources := default dict .Values.resources }}
{{- $limits := deepCopy (default dict $resources.limits) }}
{{- $requests := default dict $resources.requests }}
{{- $other := "" }}
{{- range $name, $count := merge dict $limits $requests }}
{{- if and $count (regexMatch "^nvidia[.]com/(mig-|gpu[.-])|^[^/]*[.][^/]*/.*gpu" $name) (not (regexMatch "^nvidia[.]com/gpu([a-z]|$)" $name)) }}
{{- $other = $name }}
{{- end }}
{{- end }}
{{- if $resources.claims }}
{{- $other = "resources.claims" }}
{{- end }}
{{- if and $other (hasKey $limits $gpu) }}
{{- if or (ne (toString (get $limits $gpu)) "1") (get $requests $gpu) }}
{{- fail (printf "resources: cannot ask for %s beside %s, for no node gives both; leave one out (%s: null)" $gpu $other $gpu) }}
{{- end }}
{{- $_ := unset $limits $gpu }}
{{- end }}
{{- range $name, $count := $requests }}
{{- if and (contains "/" $name) $count }}
{{- $limit := toString (get $limits $name) }}
{{- if and (hasKey $limits $name) (ne $limit (toString $count)) (not (and (eq $name $gpu) (eq $limit "1"))) }}
{{- fail (printf "resources.requests: cannot ask for %v %s with a limit of %s; Kubernetes wants both alike" $count $name $limit) }}
{{- end }}
{{- $_ := set $limits $name $count }}
{{- end }}
{{- end }}
{{- with omit $resources "limits" }}
{{- toYaml . }}
{{ end }}
{{- with $limits -}}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

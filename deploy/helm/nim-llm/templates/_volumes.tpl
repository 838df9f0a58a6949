{{/* Whether the StatefulSet creates a claim for each replica. */}}
{{- define "nim.claimPerReplica" -}}
{{- if and .Values.persistence.enabled (not .Values.persistence.existingClaim) .Values.statefulSet.enabled }}yes{{ end -}}
{{- end -}}

{{/* Whether the cache is read-only, without downloads and compiled kernels. */}}
{{- define "nim.cacheIsReadOnly" -}}
{{- if and .Values.nfs.enabled .Values.nfs.readOnly (not .Values.persistence.enabled) (not .Values.hostPath.enabled) }}yes{{ end -}}
{{- end -}}

{{- define "nim.claimSpec" -}}
accessModes: [{{ .Values.persistence.accessMode }}]
{{- with .Values.persistence.storageClass }}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size }}
{{- end -}}

{{- define "nim.cacheVolume" -}}
- name: cache
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-cache" (include "nim.fullname" .)) .Values.persistence.existingClaim }}
  {{- else if .Values.hostPath.enabled }}
  hostPath:
    path: {{ .Values.hostPath.path }}
    type: DirectoryOrCreate
  {{- else if .Values.nfs.enabled }}
  nfs:
    server: {{ .Values.nfs.server | quote }}
    path: {{ .Values.nfs.path | quote }}
    readOnly: {{ .Values.nfs.readOnly }}
  {{- else if .Values.emptyDir.sizeLimit }}
  emptyDir:
    sizeLimit: {{ .Values.emptyDir.sizeLimit }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{- define "nim.volumes" -}}
{{- if not (include "nim.claimPerReplica" .) }}
{{- include "nim.cacheVolume" . }}
{{- end }}
- name: tmp
  emptyDir: {}
- name: run
  emptyDir: {}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.sharedMemory.sizeLimit }}
{{- if eq .Values.secretsAs "file" }}
{{- with fromJsonArray (include "nim.secrets" .) }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items: [{key: {{ .key | quote }}, path: {{ .name }}}]
      {{- end }}
{{- end }}
{{- end }}
{{- range $name, $volume := .Values.extraVolumes }}
- name: {{ $name }}
  {{- toYaml $volume | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "nim.volumeMounts" -}}
- {name: cache, mountPath: {{ .Values.model.nimCache | quote }}}
- {name: tmp, mountPath: /tmp}
- {name: run, mountPath: /run/nim}
- {name: shm, mountPath: /dev/shm}
{{- if and (eq .Values.secretsAs "file") (fromJsonArray (include "nim.secrets" .)) }}
- {name: secrets, mountPath: /run/secrets/nim, readOnly: true}
{{- end }}
{{- range $name, $mount := .Values.extraVolumeMounts }}
- name: {{ $name }}
  {{- toYaml $mount | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "multinet.selector" -}}
app.kubernetes.io/name: multinet
app.kubernetes.io/component: {{ if .Values.uninstall.enabled }}uninstall{{ else }}node{{ end }}
{{- end }}

{{- define "multinet.labels" -}}
app.kubernetes.io/name: multinet
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "multinet.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A folder of the node, at the same path in the container; made if it is missing. */}}
{{- define "multinet.volume" -}}
- name: {{ .name }}
  hostPath:
    path: {{ .path }}
    type: {{ .type | default "DirectoryOrCreate" }}
{{- end }}

{{/* Of the containers that change the node's folders and need nothing else: no capability, no network. */}}
{{- define "multinet.installer" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsUser: 0
capabilities:
  drop: [ALL]
  add: [DAC_OVERRIDE, FOWNER] # where the folders belong to another user than root
{{- with .Values.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

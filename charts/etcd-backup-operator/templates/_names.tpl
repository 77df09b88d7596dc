{{/* Labels of every object. */}}
{{- define "etcd-backup.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image by tag or digest, as nodes pull it. */}}
{{- define "etcd-backup.image" -}}
{{- $image := .Values.image }}
{{- $name := printf "%s/%s" ((.Values.global).imageRegistry | default $image.registry) $image.repository }}
{{- if $image.digest }}{{ $name }}@{{ $image.digest }}{{ else }}{{ $name }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* imagePullSecrets of a ServiceAccount, as a YAML map; empty without any. */}}
{{- define "etcd-backup.pullSecrets" -}}
{{- $names := list }}
{{- range concat .Values.image.pullSecrets ((.Values.global).imagePullSecrets | default list) }}
{{- $names = append $names (dict "name" (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .)) }}
{{- end }}
{{- with $names | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether the backup namespace is made: "true" or empty. */}}
{{- define "etcd-backup.makesNamespace" -}}
{{- $create := .Values.backupNamespace.create }}
{{- if kindIs "bool" $create | ternary $create (eq .Values.platform "kubeadm") }}true{{ end }}
{{- end }}

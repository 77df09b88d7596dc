{{/*
Objects that have no settings of their own are copies of config/, made by `make generate`: one source for Helm, kustomize and OLM.
Takes root, files (a glob), and optionally namespace (for objects that name none) and annotations.
*/}}
{{- define "etcd-backup.copies" -}}
{{- $root := .root }}
{{- $given := . }}
{{- range $path, $_ := $root.Files.Glob .files }}
{{- range $text := regexSplit "(?m)^---$" ($root.Files.Get $path) -1 }}
{{- $text = regexReplaceAll "(?m)(namespace: |-n )etcd-backup-operator( |$)" $text (printf "${1}%s${2}" $root.Release.Namespace) }}
{{- $text = regexReplaceAll "(?m)(namespace: |-n )openshift-etcd( |$)" $text (printf "${1}%s${2}" $root.Values.backupNamespace.name) }}
{{- with fromYaml $text }}
{{- $metadata := .metadata }}
{{- $_ := set $metadata "labels" (mergeOverwrite (dict) ($metadata.labels | default dict) (include "etcd-backup.labels" $root | fromYaml)) }}
{{- with $given.namespace }}{{ $_ := set $metadata "namespace" . }}{{ end }}
{{- with $given.annotations }}{{ $_ := set $metadata "annotations" (merge (dict) . ($metadata.annotations | default dict)) }}{{ end }}
{{- $object := . }}
{{- if eq .kind "ServiceAccount" }}{{ $object = merge (include "etcd-backup.pullSecrets" $root | fromYaml) . }}{{ end }}
---
# From {{ $path | replace "files/" "config/" }}
{{ toYaml $object }}
{{ end }}
{{- end }}
{{- end }}
{{- end }}

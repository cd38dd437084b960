{{- define "greenlight.name" -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- /* Policies belong to no namespace: two installs, for a namespace each, must not meet. No namespace has a dot in its name. */ -}}
{{- define "greenlight.policy" -}}
{{- with .Values.watchNamespace }}{{ . }}.{{ end }}{{ include "greenlight.name" . }}
{{- end -}}

{{- /* Roles for people belong to no namespace either. Those that this release has already keep the names that an earlier version gave them:
bindings refer to them, and cannot be changed. */ -}}
{{- define "greenlight.roles" -}}
{{- $earlier := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (printf "%s-editor" (include "greenlight.name" .)) -}}
{{- $of := dig "metadata" "annotations" dict ($earlier | default dict) -}}
{{- if and (eq (get $of "meta.helm.sh/release-name") .Release.Name) (eq (get $of "meta.helm.sh/release-namespace") .Release.Namespace) -}}
{{ include "greenlight.name" . }}
{{- else -}}
{{ include "greenlight.policy" . }}
{{- end -}}
{{- end -}}

{{- /* Whoever leads holds a lease, which has one name in each namespace: of two releases that elect a leader in one, either would wait for the
other for ever. */ -}}
{{- define "greenlight.alone" -}}
{{- if or (gt (int .Values.replicas) 1) (gt (int .Values.shards) 1) -}}
{{- $found := lookup "apps/v1" "Deployment" .Release.Namespace "" -}}
{{- range (dig "items" list ($found | default dict)) -}}
{{- $labels := dig "metadata" "labels" dict . -}}
{{- $other := get $labels "app.kubernetes.io/instance" -}}
{{- if and (eq (get $labels "app.kubernetes.io/name") "greenlight") (ne $other $.Release.Name) -}}
{{- range (dig "spec" "template" "spec" "containers" list .) -}}
{{- if has "--leader-elect" (dig "args" list .) -}}
{{- fail (printf "release %s is in namespace %s already, and both would wait for one lease: install this one into a namespace of its own" $other $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "greenlight.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "greenlight.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "greenlight.selectorLabels" -}}
app.kubernetes.io/name: greenlight
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Not the operator's: its Service must not lead to the dashboard. */ -}}
{{- define "greenlight.dashboardSelectorLabels" -}}
app.kubernetes.io/name: greenlight-dashboard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "greenlight.dashboardLabels" -}}
{{ include "greenlight.dashboardSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "greenlight.labels" -}}
{{ include "greenlight.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "greenlight.image" -}}
{{- with .Values.image.digest -}}
{{ $.Values.image.repository }}@{{ . }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end -}}

{{- define "greenlight.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "greenlight.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "greenlight.notifications" -}}
{{- with .Values.dashboard.url }}
dashboard: {{ . | quote }}
{{- end }}
sinks:
  {{- range .Values.notifications.sinks }}
  - name: {{ .name | quote }}
    {{- with .url }}
    url: {{ . | quote }}
    {{- end }}
    {{- with .urlSecret }}
    urlFile: /etc/greenlight-secrets/{{ .name }}/{{ .key }}
    {{- end }}
    {{- with .tokenSecret }}
    tokenFile: /etc/greenlight-secrets/{{ .name }}/{{ .key }}
    {{- end }}
    {{- with .format }}
    format: {{ . }}
    {{- end }}
    {{- with .events }}
    events: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .namespaces }}
    namespaces: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .labels }}
    labels: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- /* The names of all Secrets that sinks refer to, each once. */ -}}
{{- define "greenlight.secrets" -}}
{{- $names := list -}}
{{- range .Values.notifications.sinks -}}
{{- with .urlSecret }}{{- $names = append $names .name -}}{{- end -}}
{{- with .tokenSecret }}{{- $names = append $names .name -}}{{- end -}}
{{- end -}}
{{- $names | uniq | join "," -}}
{{- end -}}

{{- /* Of the hook that runs when everything else is deleted; takes its weight. If it fails, Helm prints its log (from Helm 4 on) before it
deletes it: the log names what is left, and why. */ -}}
{{- define "greenlight.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/* The pod, the same for both kinds of store but for where the store is. */}}
{{- define "unhang.pod" -}}
metadata:
  labels:
    {{- include "unhang.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "unhang.serviceAccount" . }}
  automountServiceAccountToken: false
  # Variables of the cluster's services would begin with UNHANG_ as well.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: unhang
      image: {{ include "unhang.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/unhang/unhang.toml]
      env:
        - name: UNHANG__SERVER__LISTEN
          value: "0.0.0.0:8080"
        {{- with .Values.store.postgres }}
        {{- if .url }}
        - name: UNHANG__STORE__URL
          value: {{ include "unhang.storeUrl" $ | quote }}
        - name: UNHANG__STORE__PASSWORD_FILE
          value: /etc/unhang/postgres/password
        - name: UNHANG__STORE__FOLDER
          value: /data
        {{- else }}
        - name: UNHANG__STORE__URL
          value: sqlite:///data/unhang.db
        {{- end }}
        {{- end }}
        {{- if eq (include "unhang.journal" .) "true" }}
        - name: UNHANG__STORE__JOURNAL
          value: /journal/JOURNAL
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: UNHANG__SERVER__TLS__CERTIFICATE_FILE
          value: /etc/unhang/tls/tls.crt
        - name: UNHANG__SERVER__TLS__KEY_FILE
          value: /etc/unhang/tls/tls.key
        {{- if .Values.tls.clientCa }}
        - name: UNHANG__SERVER__TLS__CLIENT_CA_FILE
          value: /etc/unhang/tls/ca.crt
        {{- end }}
        {{- end }}
        {{- if .Values.ops.enabled }}
        - name: UNHANG__SERVER__OPS_LISTEN
          value: "0.0.0.0:{{ .Values.ops.port }}"
        {{- end }}
      {{- with .Values.secrets.env }}
      envFrom:
        {{- range . }}
        - secretRef:
            name: {{ . }}
        {{- end }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
        {{- if .Values.ops.enabled }}
        - name: ops
          containerPort: {{ .Values.ops.port }}
        {{- end }}
      startupProbe:
        httpGet: {{ include "unhang.probe" (dict "root" . "path" "/readyz") }}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 60
      livenessProbe:
        httpGet: {{ include "unhang.probe" (dict "root" . "path" "/livez") }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {{ include "unhang.probe" (dict "root" . "path" "/readyz") }}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - { name: data, mountPath: /data }
        {{- if eq (include "unhang.journal" .) "true" }}
        - { name: journal, mountPath: /journal }
        {{- end }}
        - { name: tmp, mountPath: /tmp }
        - { name: config, mountPath: /etc/unhang/unhang.toml, subPath: unhang.toml, readOnly: true }
        - { name: secrets, mountPath: /etc/unhang/secrets, readOnly: true }
        {{- if .Values.store.postgres.url }}
        - { name: postgres, mountPath: /etc/unhang/postgres, readOnly: true }
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        # The whole folder: a single file would stay what it was when the Secret is renewed.
        - { name: tls, mountPath: /etc/unhang/tls, readOnly: true }
        {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.store.postgres.url }}
  # Apart where there is room: a node or a zone that is lost takes one of them.
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "unhang.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 256Mi
    - name: config
      configMap:
        name: {{ include "unhang.fullname" . }}
    - name: secrets
      secret:
        secretName: {{ .Values.secrets.existingSecret }}
        defaultMode: 0440
    {{- with .Values.store.postgres }}
    {{- if .url }}
    # What is a replica's own: its journal, its hold file. Gone with the pod.
    - name: data
      emptyDir:
        sizeLimit: 256Mi
    - name: postgres
      projected:
        defaultMode: 0440
        sources:
          - secret:
              name: {{ .existingSecret }}
              items:
                - { key: {{ .passwordKey | quote }}, path: password }
          {{- with .ca.existingSecret }}
          - secret:
              name: {{ . }}
              items:
                - { key: {{ $.Values.store.postgres.ca.key | quote }}, path: ca.crt }
          {{- end }}
          {{- with .ca.existingConfigMap }}
          - configMap:
              name: {{ . }}
              items:
                - { key: {{ $.Values.store.postgres.ca.key | quote }}, path: ca.crt }
          {{- end }}
    {{- end }}
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
{{- end }}

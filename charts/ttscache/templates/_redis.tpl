{{- define "ttscache.redisConfig" -}}
dir /data
# each write is in the log within a second; what that second lost is asked of the issuers again
appendonly yes
appendfsync everysec
# the log is enough
save ""
# full is an error that the daemon tells; with any other policy it does not start, for sessions would be forgotten
maxmemory {{ .Values.redis.maxMemory }}
maxmemory-policy noeviction
{{- end -}}

{{/*
The password goes from its file to the server's standard input, as a digest; so it is in no argument, no variable and no
file but its own. As in the daemon's configuration, newlines at its end do not count.
*/}}
{{- define "ttscache.redisStart" -}}
set -eu
password=$(cat /run/secrets/redis/redis-password)
: "${password:?redis-password is empty}"
digest=$(printf %s "$password" | sha256sum)
exec redis-server /etc/redis/redis.conf - <<END
user default on sanitize-payload ~* &* +@all #${digest%% *}
END
{{- end -}}

{{/*
A probe: PING, from who has shown the password, by standard input too. A blank line ends the password's, which may have
no end of its own.
*/}}
{{- define "ttscache.redisPing" -}}
exec:
  command:
    - sh
    - -c
    - |
      password=/run/secrets/redis/redis-password
      { sed 's/["\\]/\\&/g; s/.*/AUTH "&"/; q' $password; echo; echo PING; } | redis-cli | grep -qx PONG
{{- end -}}

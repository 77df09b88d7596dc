#!/usr/bin/env bash
# Makes the snapshots in this folder, and golden.json, from real etcd servers. README.md says what is in them.
#
#   make.sh ETCD_3_4 ETCD_3_5 ETCD_3_6 ETCD_3_7 ETCDCTL ETCDUTL_3_5 ETCDUTL_3_6     (paths of the seven programs; a server's may hold arguments)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
read -ra etcd34 <<<"$1"; read -ra etcd35 <<<"$2"; read -ra etcd36 <<<"$3"; read -ra etcd37 <<<"$4"
etcdctl=$5 etcdutl35=$6 etcdutl36=$7
work=$(mktemp -d)
client_port=${CLIENT_PORT:-34791} peer_port=${PEER_PORT:-34801}
client=http://127.0.0.1:$client_port peer=http://127.0.0.1:$peer_port
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$work"' EXIT

start() { # folder, then the server's command
  local dir=$1; shift
  # Another server at these ports must not be filled, nor be taken for ours.
  if ss -ltn | grep -qE ":($client_port|$peer_port) "; then
    echo "port $client_port or $peer_port is in use: set CLIENT_PORT and PEER_PORT" >&2; return 1
  fi
  "$@" --name m1 --data-dir "$dir" --listen-client-urls $client --advertise-client-urls $client \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster m1=$peer \
    --log-level error >"$dir.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    kill -0 "$server" || break
    ctl endpoint health >/dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$dir.log" >&2; return 1
}
stop() { kill "$server"; wait "$server" || true; server=; }
ctl() { "$etcdctl" --endpoints $client "$@"; }
text() { yes 'a value of some length. ' | head -c "$1" || true; }
revision() { ctl endpoint status -w json | jq '.[0].Status.header.revision'; }

# Keys, values from nothing to 600 KB (overflow pages), overwrites, deletions, a transaction with sub-revisions, leases.
fill() {
  local i lease
  # etcdctl takes at most 128 operations in one transaction.
  for i in $(seq 1 100 300); do
    { printf '\n'; for j in $(seq "$i" $((i + 99))); do printf 'put /registry/configmaps/default/item-%s value-%s\n' "$j" "$j"; done; printf '\n\n'; } | ctl txn >/dev/null
  done
  ctl put /registry/secrets/default/size-0 "" >/dev/null
  for size in 1 100 4000 4096 9000 65536 600000; do text "$size" | ctl put "/registry/secrets/default/size-$size" >/dev/null; done
  for i in $(seq 1 20); do ctl put /registry/leases/kube-system/holder "turn-$i" >/dev/null; done
  printf 'k8s:enc:aescbc:v1:key1:\x01\x02\x03' | ctl put /registry/secrets/default/encrypted >/dev/null
  printf 'k8s:enc:kms:v2:provider:\x01\x02\x03' | ctl put /kubernetes.io/secrets/default/encrypted >/dev/null
  ctl del --prefix /registry/configmaps/default/item-1 >/dev/null
  ctl put /registry/configmaps/default/item-17 'made again' >/dev/null
  for i in 1 2 3; do
    lease=$(ctl lease grant 86400 | awk '{print $2}')
    ctl put --lease="$lease" "/registry/events/default/event-$i" event >/dev/null
  done
}
compact() { ctl compact "$(($(revision) - 10))" >/dev/null; }
save() { ctl snapshot save "$work/$1.db" >/dev/null 2>&1; }

start "$work/3.4" "${etcd34[@]}"
fill; compact; sleep 1; save etcd-3.4
stop

start "$work/3.5" "${etcd35[@]}" --quota-backend-bytes $((4 << 20))
fill; compact; sleep 1
ctl role add reader >/dev/null; ctl role grant-permission reader read /registry/ --prefix >/dev/null
ctl user add root:secret >/dev/null; ctl user grant-role root root >/dev/null
ctl user add alice:secret >/dev/null; ctl user grant-role alice reader >/dev/null
# Past its quota, etcd refuses writes and raises NOSPACE.
while text 600000 | ctl put /filler >/dev/null 2>&1; do :; done
ctl auth enable >/dev/null
ETCDCTL_USER=root:secret save etcd-3.5
stop

start "$work/3.6" "${etcd36[@]}"
save etcd-3.6-empty
fill; compact; sleep 1
ctl defrag >/dev/null
for i in $(seq 1 40); do ctl put "/registry/pods/default/after-defrag-$i" x >/dev/null; done
ctl member add learner --learner --peer-urls http://127.0.0.1:1 >/dev/null
save etcd-3.6
stop

start "$work/3.7" "${etcd37[@]}"
fill; compact; sleep 1
ctl role add reader >/dev/null; ctl role grant-permission reader read /registry/ --prefix >/dev/null
ctl user add root:secret >/dev/null; ctl user grant-role root root >/dev/null
save etcd-3.7
stop

# A restore that raises the revision leaves an entry without a value, and everything before it marked for compaction.
"$etcdutl36" snapshot restore "$work/etcd-3.6.db" --data-dir "$work/bumped" --bump-revision 1000000 --mark-compacted \
  --name m1 --initial-cluster m1=$peer --initial-advertise-peer-urls $peer >/dev/null 2>&1
start "$work/bumped" "${etcd36[@]}"
ctl put /registry/pods/default/after-restore x >/dev/null; sleep 1; save etcd-3.6-bumped
stop

# Members on other machines have other pages; on systems other than Linux they keep the list of free pages in the file.
rewrite() { (cd "$here/rewrite" && go run . "$@"); }
rewrite -freelist -free-bytes 200000 "$work/etcd-3.6.db" "$work/freelist.db"
rewrite -page-size 8192 "$work/etcd-3.6.db" "$work/pages-8k.db"
rewrite -page-size 16384 -freelist -free-bytes 200000 "$work/etcd-3.6.db" "$work/pages-16k.db"
rewrite -page-size 32768 "$work/etcd-3.6.db" "$work/pages-32k.db"
rewrite -page-size 65536 -freelist -free-bytes 2000000 "$work/etcd-3.6.db" "$work/pages-64k.db"
# More free pages than a page's header can count, in a list over many pages. Small pages keep the file small.
rewrite -page-size 1024 -freelist -free-bytes 70000000 "$work/etcd-3.6-empty.db" "$work/freelist-long.db"

cd "$work"
for db in *.db; do
  gzip -9nc "$db" >"$here/$db.gz"
  jq -n --arg name "${db%.db}" --argjson v35 "$("$etcdutl35" snapshot status "$db" -w json)" --argjson v36 "$("$etcdutl36" snapshot status "$db" -w json)" \
    '{($name): {"etcdutl-3.5": $v35, "etcdutl-3.6": $v36}}'
done | jq -s add >"$here/golden.json"

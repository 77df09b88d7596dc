# The first process of a testbed node. It runs as pid 1 of its own pid, mount, network, uts and ipc namespaces, gives
# the node a disk, a name and a network, and then keeps containerd and the kubelet running. When it dies, the kernel
# ends all the node's processes and with them its mounts: that is the node's power switch.
set -eu
hostname "$NODE"

# Mounts that pods share with the node (Bidirectional) work, and nothing reaches this machine's own mounts.
mount --make-rshared /
# What programs write to /etc and /var stays on the node; on the directories that matter a plain bind mount, so that
# their files can be read and changed from outside at any time.
for dir in etc var; do
  mkdir -p "$DISK/overlay/$dir/upper" "$DISK/overlay/$dir/work"
  mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$DISK/overlay/$dir/upper,workdir=$DISK/overlay/$dir/work" "/$dir"
done
for dir in $BINDS; do
  mkdir -p "$DISK$dir" "$dir"
  mount --bind "$DISK$dir" "$dir"
done
mkdir -p /run/lock /run/netns /run/containerd
echo "$NODE" >/etc/hostname
printf '%s\n' "$HOSTS" >/etc/hosts

# testbed plugs in the cable as soon as it knows this process.
tries=0
until ip link show dev eth0 >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 500 ] || { echo "no network cable after 10 s"; exit 1; }
  sleep 0.02
done
ip link set lo up
ip address add "$ADDRESS/24" dev eth0
ip link set eth0 up
ip route add default via "$GATEWAY"
sysctl -qw net.ipv4.ip_forward=1
printf '%s\n' "$ROUTES" | while read -r subnet via; do
  [ -z "$subnet" ] || ip route add "$subnet" via "$via"
done
# The kubernetes Service, for pods and for the node, without a kube-proxy: always the node's own API server.
for chain in PREROUTING OUTPUT; do
  iptables -w -t nat -A "$chain" -d "$SERVICE/32" -p tcp --dport 443 -j DNAT --to-destination "$ADDRESS:6443"
done

cd /
containerd --config "$DISK/containerd.toml" >>"$DISK/log/containerd" 2>&1 &
tries=0
until ctr version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { echo "containerd does not answer after 30 s, see its log"; exit 1; }
  sleep 0.1
done
for image in $IMAGES; do
  ctr --namespace k8s.io images import "$image"
done

# From here on nothing ends the node but its power switch: a kubelet that stops is started again, as systemd would.
set +e
while :; do
  "$KUBE" kubelet --config /var/lib/kubelet/config.yaml --kubeconfig /etc/kubernetes/kubelet.conf \
    --hostname-override "$NODE" --node-ip "$ADDRESS" >>"$DISK/log/kubelet" 2>&1 </dev/null
  sleep 1
done

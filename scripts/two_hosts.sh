#!/usr/bin/env bash
# Two hosts on one machine: network namespaces with a link of limited speed, Open MPI between them over TCP.
#
#   scripts/two_hosts.sh cut [RATE]       trains, cuts the link mid-run, heals it, resumes: the bytes of an unbroken run
#   scripts/two_hosts.sh overlap [RATE]   times training with gradients sent during and after the backward pass
#
# Needs root, iproute2, openmpi-bin and a release build. RATE is what tc takes; 1gbit unless given.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cnnctl=${CNNCTL:-$root/target/release/cnnctl}
what=${1:-cut} rate=${2:-1gbit}

for need in ip tc mpirun.openmpi; do
    command -v $need >/dev/null || { echo "skipped: $need is not installed"; exit 0; }
done
ip netns add cnnctl-probe 2>/dev/null || { echo "skipped: no right to make network namespaces"; exit 0; }
ip netns del cnnctl-probe

work=$(mktemp -d)
down() {
    for h in 1 2; do
        ip netns pids cnnctl-h$h 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns del cnnctl-h$h 2>/dev/null || true
        rm -rf /etc/netns/cnnctl-h$h
    done
    ip link del cnnctl-v1 2>/dev/null || true; ip link del cnnctl-v2 2>/dev/null || true
    ip link del cnnctl-br 2>/dev/null || true
    rm -rf "$work"
}
trap down EXIT

ip link add cnnctl-br type bridge
ip link set cnnctl-br up
for h in 1 2; do
    ip netns add cnnctl-h$h
    ip link add cnnctl-v$h type veth peer name eth0 netns cnnctl-h$h
    ip link set cnnctl-v$h master cnnctl-br up
    ip -n cnnctl-h$h addr add 10.78.0.$h/24 dev eth0
    ip -n cnnctl-h$h link set eth0 up
    ip -n cnnctl-h$h link set lo up
    tc -n cnnctl-h$h qdisc add dev eth0 root tbf rate "$rate" burst 256k latency 50ms
    mkdir -p /etc/netns/cnnctl-h$h
    printf '127.0.0.1 localhost\n10.78.0.1 h1\n10.78.0.2 h2\n' >/etc/netns/cnnctl-h$h/hosts
done

# Stands in for ssh: the command runs in the namespace of the host.
cat >"$work/rsh" <<'RSH'
#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do case $1 in -o | -p | -l | -i) shift ;; esac; shift; done
host=$1
shift
exec ip netns exec "cnnctl-$host" unshare --uts bash -c 'hostname "$1"; shift; exec bash -c "$*"' _ "$host" "$@"
RSH
chmod +x "$work/rsh"

train() {
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ip netns exec cnnctl-h1 unshare --uts \
        bash -c 'hostname h1; exec "$@"' _ mpirun.openmpi -H h1:1,h2:1 --map-by node --bind-to none -n 2 \
        --mca plm rsh --mca plm_rsh_agent "$work/rsh" --mca pml ob1 --mca btl tcp,self \
        --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
        --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3 \
        "$cnnctl" train --threads 1 --stall-timeout 10s "$@"
}

# Convolutions, whose backward pass takes long, below fully connected layers, whose many gradients are there first.
net() { # filters, units, batch
    local below=data i
    cat <<NET
name: "two_hosts"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.0625 }
  data_param { source: "$root/data/digits/digits-images-idx3-ubyte.gz" labels: "$root/data/digits/digits-labels-idx1-ubyte.gz"
    backend: IDX batch_size: $3 shuffle: true } }
NET
    for i in 1 2 3; do
        echo "layer { name: 'conv$i' type: 'Convolution' bottom: '$below' top: 'conv$i' convolution_param {
          num_output: $1 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }
        layer { name: 'relu$i' type: 'ReLU' bottom: 'conv$i' top: 'conv$i' }"
        below=conv$i
    done
    cat <<NET
layer { name: "ip1" type: "InnerProduct" bottom: "conv3" top: "ip1"
  inner_product_param { num_output: $2 weight_filler { type: "xavier" } } }
layer { name: "relu4" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
NET
}
solver() { # iterations
    printf 'net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: %s random_seed: 1 ' "$1"
    printf 'snapshot_prefix: "run"\n'
}

cd "$work"
case $what in
cut)
    net 4 64 16 >net.prototxt
    solver 2000 >solver.prototxt
    mkdir whole broken
    (cd whole && cp ../*.prototxt . && train --solver solver.prototxt --metrics m.jsonl 2>/dev/null)
    cd broken && cp ../*.prototxt .
    train --solver solver.prototxt --metrics m.jsonl >log 2>&1 &
    job=$!
    until [ "$(cat m.jsonl 2>/dev/null | wc -l)" -ge 300 ]; do sleep 0.1; done
    ip link set cnnctl-v2 down
    start=$SECONDS
    status=0
    wait $job || status=$?
    echo "link cut: the job ended with status $status after $((SECONDS - start)) s"
    grep -h 'nothing has come\|Snapshotting' log || true
    ip netns pids cnnctl-h2 | xargs -r kill -9 2>/dev/null || true
    ip link set cnnctl-v2 up
    # What the hosts have learned of each other while the link was down is wrong.
    for h in 1 2; do ip -n cnnctl-h$h neigh flush all; done
    sleep 2
    train --solver solver.prototxt --metrics m.jsonl --resume auto 2>/dev/null
    cmp run_iter_2000.caffemodel ../whole/run_iter_2000.caffemodel && cmp m.jsonl ../whole/m.jsonl &&
        echo "resumed: the same weights and metrics as the unbroken run"
    ;;
overlap)
    net 64 1024 384 >net.prototxt
    solver 20 >solver.prototxt
    for round in 1 2 3; do
        for how in "" --no-overlap; do
            echo "$rate, round $round, ${how:-overlap}: $(train --solver solver.prototxt $how 2>&1 | grep -o '[0-9.]* it/s')"
        done
    done
    ;;
*) echo "unknown: $what" >&2; exit 2 ;;
esac

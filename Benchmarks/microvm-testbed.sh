#!/usr/bin/env bash
# What `scripts/bench-microvm --testbed` runs in the testbed: the monitor and QEMU's microvm machine
# in turn, with the same kernel. Lines that begin with `BENCH` are its results.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rounds=$1
device_rounds=$2
# Without a keyboard's controller a reset is a triple fault.
words='reboot=t panic=-1 noreplace-smp'
cd "$here"

place=0
for name in disk other-disk socket network; do
    words+=$(printf ' virtio_mmio.device=512@0x%x:%d' $((0xfeb00000 + place * 512)) $((5 + place)))
    declare "bus_${name/-/_}=bus=virtio-mmio-bus.$place"
    place=$((place + 1))
done
qemu=(lib/ld-linux-x86-64.so.2 --library-path lib ./qemu -L share
    -M "microvm,acpi=off,pit=off,rtc=off,auto-kernel-cmdline=off" -accel kvm -cpu host -m 128
    -nodefaults -no-user-config -display none -no-reboot -kernel vmlinux)
# shellcheck disable=SC2154 # The names of buses are declared above.
qemu+=(-device "vhost-vsock-device,guest-cid=3,$bus_socket")

# A disk by its file, further words of -drive, a name and a bus.
disk() {
    qemu_disk=(-drive "id=$3,file=$1,format=raw,if=none$2"
        -device "virtio-blk-device,drive=$3,$4")
}

# MARK: Until a guest is ready.

monitor=(./alcove-vmm run --kernel vmlinux --initial-files initrd.cpio --layer layer.erofs
    --scratch 16MiB)

start_monitor() {
    ./microvm-host ready timeline "${monitor[@]}" --timeline -- /bin/true 2>told
    echo "BENCH stages $(sed -n 's/.*timeline: //p' told)" >&2
}

# shellcheck disable=SC2154
start_qemu() {
    disk layer.erofs ,readonly=on layer "$bus_disk"
    ./microvm-host ready vsock "${qemu[@]}" "${qemu_disk[@]}" -initrd initrd.cpio \
        -append "quiet $words -- guest layers=1 root=rw scratch=16777216" </dev/null
}

# The first of each brings the programs into memory.
for ((round = 0; round <= rounds; round++)); do
    for way in monitor qemu; do
        if ! spent=$("start_$way" 2>stages); then
            cat stages told
            exit 1
        fi
        ((round > 0)) || continue
        echo "BENCH ready $way $spent"
        cat stages
    done
done

# MARK: What a monitor holds once its guest has read and said something.

./microvm-host tap tap-monitor
"${monitor[@]}" --sockets /tmp/sockets --control /tmp/control --tap tap-monitor -- /bin/sh -c \
    'cat /bin/* >/dev/null; yes | head -c 5000000; echo said; exec sleep 1000' \
    >/tmp/said &
until grep -q said /tmp/said; do sleep 1; done
sed 's/^/BENCH smaps /' "/proc/$!/smaps"
./alcove-vmm control --control /tmp/control stop >/dev/null
wait || true

# MARK: Devices.

for name in disk other; do dd if=/dev/zero of=/tmp/$name bs=1M count=64 2>/dev/null; done
./microvm-host tap tap-qemu
# Which of the two has the network.
network() {
    ip addr flush dev "$2"
    ip link set "$2" down
    ip addr add 10.90.0.1/24 dev "$1"
    ip link set "$1" up
}
# What the guest has told by its kernel's log.
results() {
    sed -n "s/^\[[^]]*\] \(microvm-guest: .*\)/BENCH failed $1 \1/p
        s/^\[[^]]*\] \({\"device\".*}\)/BENCH device $1 \1/p"
}
log=(earlyprintk=ttyS0 loglevel=1 printk.devkmsg=on)
# shellcheck disable=SC2154
for ((round = 0; round < device_rounds; round++)); do
    network tap-monitor tap-qemu
    ./microvm-host devices /tmp/ports ./alcove-vmm run --kernel vmlinux --initial-files bench.cpio \
        --console --kernel-word loglevel=1 --kernel-word printk.devkmsg=on --layer /tmp/disk \
        --scratch-disk /tmp/other --sockets /tmp/ports --tap tap-monitor -- /bin/true 2>&1 |
        results monitor
    rm -f /tmp/ports*
    network tap-qemu tap-monitor
    disk /tmp/disk ,readonly=on layer "$bus_disk"
    layer=("${qemu_disk[@]}")
    disk /tmp/other '' other "$bus_other_disk"
    ./microvm-host devices /tmp/ports "${qemu[@]}" "${layer[@]}" "${qemu_disk[@]}" \
        -netdev tap,id=net,ifname=tap-qemu,script=no,downscript=no,vhost=on \
        -device "virtio-net-device,netdev=net,$bus_network" -serial stdio -initrd bench.cpio \
        -append "${log[*]} $words" </dev/null 2>&1 | results qemu
    rm -f /tmp/ports*
done

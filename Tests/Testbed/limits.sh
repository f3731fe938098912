#!/usr/bin/env bash
set -euo pipefail

# The checks that scripts/testbed runs in its machine: what only a host with version 2 cgroups and
# all their controllers can show, and a sample of everything on an ordinary kernel.

# shellcheck source=Tests/Testbed/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# MARK: The host.

unified_without_limits() {
    sandbox "$image" -- echo hello
    equal output "$output" hello
    equal code "$code" 0
}

doctor_says_unified() {
    local text
    text=$(alcove doctor 2>&1 || true)
    holds_text doctor "$text" unified
}

sees_own_cgroup_root() {
    sandbox "$image" -- cat /proc/self/cgroup
    equal 'cgroup seen inside' "$output" 0::/
}

# MARK: Memory.

memory_is_set_first() {
    local plan limited created
    plan=$(alcove plan --memory 64MiB "$image" -- true)
    limited=$(grep -n 'memory.max' <<<"$plan" | head -n 1 | cut -d: -f1)
    created=$(grep -n 'create process' <<<"$plan" | head -n 1 | cut -d: -f1)
    ((limited < created)) || say_wrong "limited at line $limited, created at line $created"
    hold --memory 64MiB "$image" -- sh -c "$ready"
    equal memory.max "$(cat "$group/memory.max")" 67108864
    equal memory.oom.group "$(cat "$group/memory.oom.group")" 1
    [[ ! -e $group/memory.swap.max ]] || equal memory.swap.max "$(cat "$group/memory.swap.max")" 0
    at_least 'processes inside' "$(wc -l <"$group/cgroup.procs")" 2
    let_go
    equal code "$code" 0
}

is_out_of_memory() {
    equal code "$code" 137
    holds_text complaint "$complaints" 'memory limit is used up'
    holds_text result "$result" '"ending":"out_of_memory"'
    holds_text result "$result" '"kind":"memory","request":"32 MiB","holds":true'
}

too_much_memory() {
    sandbox --memory 32MiB "$image" -- dd if=/dev/zero of=/dev/null bs=200M count=1
    is_out_of_memory
}

memory_that_grows() {
    sandbox --memory 32MiB "$image" -- tail /dev/zero
    is_out_of_memory
}

too_much_in_files() {
    sandbox --memory 32MiB "$image" -- dd if=/dev/zero of=/tmp/file bs=1M count=60
    is_out_of_memory
}

one_dies_all_die() {
    sandbox --memory 32MiB "$image" -- sh -c \
        'trap "" TERM; sleep 1000 & sh -c "exec tail /dev/zero"; echo survived; wait'
    is_out_of_memory
    equal output "$output" ''
}

enough_memory() {
    sandbox --memory 64MiB "$image" -- sh -c \
        'dd if=/dev/zero of=/dev/null bs=24M count=2 && dd if=/dev/zero of=/tmp/f bs=1M count=16'
    equal code "$code" 0
    holds_text result "$result" '"ending":"exited"'
}

# The child shares the starter's memory until it executes: whatever becomes of it, the starter
# lives on to tell.
least_memory() {
    local size
    for size in 1MiB 1100KiB 1200KiB 1400KiB 1600KiB 2MiB 3MiB; do
        sandbox --memory "$size" "$image" -- true
        [[ -s result.json ]] || say_wrong "$size: the starter died, exit code $code"
        sandbox --memory "$size" --map-user 0:100000:65536 "$image" -- true
        [[ -s result.json ]] || say_wrong "$size, own users: the starter died, exit code $code"
        sandbox --memory "$size" --read-only "$image" -- true
        [[ -s result.json ]] || say_wrong "$size, read-only: the starter died, exit code $code"
    done
    at_least 'fine in 3 MiB' "$((code == 0))" 1
}

# The kernel counts a program's arguments before it is the program's: the limit is met by what
# still shares the starter's memory.
start_out_of_memory() {
    local word users
    word=$(head -c 120000 /dev/zero | tr '\0' x)
    for users in '' --map-user=0:100000:65536; do
        sandbox --memory 1MiB ${users:+"$users"} "$image" -- true "$word" "$word" "$word" "$word" \
            "$word" "$word" "$word" "$word" "$word" "$word" "$word" "$word"
        equal code "$code" 137
        holds_text result "$result" '"ending":"out_of_memory"'
        holds_text complaint "$complaints" 'memory limit is used up'
    done
}

scratch_is_bounded() {
    sandbox --scratch 4MiB "$image" -- dd if=/dev/zero of=/tmp/file bs=1M count=8
    equal code "$code" 1
    holds_text complaint "$complaints" 'No space left'
}

# MARK: Processes.

too_many_processes() {
    sandbox --pids 6 "$image" -- sh -c \
        'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo survived'
    holds_text complaint "$complaints" "can't fork"
    equal output "$output" ''
    holds_text result "$result" '"kind":"pids","request":"6 processes","holds":true'
}

few_processes() {
    hold --pids 6 "$image" -- sh -c "sleep 1000 & sleep 1000 & $ready; exit 4"
    equal pids.max "$(cat "$group/pids.max")" 6
    equal pids.current "$(cat "$group/pids.current")" 4
    let_go
    equal code "$code" 4
}

least_processes() {
    sandbox --pids 2 "$image" -- echo alone
    equal output "$output" alone
    equal code "$code" 0
}

# MARK: Processor time.

busy_is_throttled() {
    local periods used
    hold --cpus 0.1 "$image" -- sh -c \
        "i=0; while [ \$i -lt 20000 ]; do i=\$((i + 1)); done; $ready"
    equal cpu.max "$(cat "$group/cpu.max")" '10000 100000'
    at_least nr_throttled "$(value "$group/cpu.stat" nr_throttled)" 1
    periods=$(value "$group/cpu.stat" nr_periods)
    used=$(value "$group/cpu.stat" usage_usec)
    # A quota is shared out in slices, so a little more is used: without a limit it is ten times.
    ((used <= 2 * 10000 * (periods + 2))) || say_wrong "used $used us in $periods periods"
    let_go
    equal code "$code" 0
}

two_processors() {
    sandbox --cpus 2 "$image" -- true
    equal code "$code" 0
    holds_text result "$result" '"kind":"cpu","request":"2 CPU","holds":true'
    sandbox --cpus 3 "$image" -- true
    equal code "$code" 78
}

# MARK: Disks.

disk_rates_are_set() {
    hold --io-read 1MiB/s --io-write 2MiB/s "$image" -- sh -c "$ready"
    equal io.max "$(cat "$group/io.max")" \
        "$(cat /sys/block/vda/dev) rbps=1048576 wbps=2097152 riops=max wiops=max"
    let_go
    equal code "$code" 0
}

# A partition's rates are its disk's: `io.max` takes no partition.
partition_rates_are_set() {
    hold --io-read 1MiB/s /mnt/image -- sh -c "$ready"
    equal io.max "$(cat "$group/io.max")" \
        "$(cat /sys/block/vdb/dev) rbps=1048576 wbps=max riops=max wiops=max"
    let_go
    equal code "$code" 0
}

reads_are_counted() {
    dd if=/dev/zero of="$image/large" bs=64k count=16 2>/dev/null
    sync
    echo 3 >/proc/sys/vm/drop_caches
    hold --io-read 64MiB/s "$image" -- sh -c "cat /large >/dev/null; $ready"
    at_least 'bytes read' "$(sed -n "s/^$(cat /sys/block/vda/dev) rbytes=\([0-9]*\).*/\1/p" \
        "$group/io.stat")" 1048576
    let_go
    rm "$image/large"
}

# A limit of a disk that is not there does not hold, and is not said to.
no_disk_below() {
    mkdir /tmp/image
    mount -t tmpfs tmpfs /tmp/image
    cp -a "$image/." /tmp/image/
    sandbox --io-read 1MiB/s /tmp/image -- true
    local strict=$code
    sandbox --io-read 1MiB/s --limits best-effort /tmp/image -- true
    umount /tmp/image
    rmdir /tmp/image
    equal 'code, strict' "$strict" 69
    equal 'code, best effort' "$code" 0
    holds_text result "$result" '"holds":false'
}

# MARK: All limits together.

all_limits_hold() {
    sandbox --limits strict --memory 64MiB --cpus 0.5 --pids 16 --io-read 8MiB/s \
        --io-write 8MiB/s "$image" -- true
    equal code "$code" 0
    equal complaints "$complaints" ''
    equal 'limits that hold' "$(grep -o '"holds":true' result.json | wc -l)" 4
    equal 'limits that do not' "$(grep -c '"holds":false' result.json || true)" 0
}

# MARK: Stopping.

timeout_kills_a_tree() {
    sandbox --timeout 300ms --stop-grace 100ms "$image" -- sh -c \
        'trap "" TERM; for i in 1 2 3; do (trap "" TERM; sh -c "sleep 1000 & sleep 1000"; :) & done
         wait; while :; do sleep 1000; done'
    equal code "$code" 124
    holds_text result "$result" '"ending":"timed_out"'
    ! pidof sleep || say_wrong 'processes are left'
}

frozen_and_killed() {
    hold --timeout 2s --stop-grace 100ms "$image" -- sh -c "sleep 1000 & $ready"
    echo 1 >"$group/cgroup.freeze"
    until [[ $(value "$group/cgroup.events" frozen) == 1 ]]; do :; done
    code=0
    wait "$holder" || code=$?
    exec {input}>&-
    equal code "$code" 124
    [[ ! -d $group ]] || say_wrong 'its cgroup is left'
}

frozen_and_thawed() {
    hold "$image" -- sh -c "$ready; echo \$line"
    echo 1 >"$group/cgroup.freeze"
    until [[ $(value "$group/cgroup.events" frozen) == 1 ]]; do :; done
    echo thawed >&"$input"
    echo 0 >"$group/cgroup.freeze"
    read -r line <&"$said"
    equal 'line' "$line" thawed
    let_go
    equal code "$code" 0
}

signals_are_passed_on() {
    hold "$image" -- sh -c \
        "trap 'echo got it; exit 9' TERM; echo ready; while :; do read -r l; done"
    kill -TERM "$holder"
    read -r line <&"$said"
    equal line "$line" 'got it'
    let_go
    equal code "$code" 9
}

# The starter is killed: its sandbox goes with it, and the next one sweeps up its cgroup.
starter_is_killed() {
    hold "$image" -- sh -c "sleep 1000 & $ready"
    kill -KILL "$holder"
    wait "$holder" || true
    exec {input}>&-
    cat <&"$said" >/dev/null
    sandbox "$image" -- true
    [[ ! -d $group ]] || say_wrong 'its cgroup is left'
}

# MARK: A sample of everything else, on this kernel.

exit_codes() {
    local wanted
    for wanted in 0 1 42 255; do
        sandbox "$image" -- sh -c "exit $wanted"
        equal code "$code" "$wanted"
    done
    # shellcheck disable=SC2016 # Expanded by the shell in the sandbox.
    sandbox "$image" -- sh -c 'kill -KILL $$'
    equal code "$code" 137
    # shellcheck disable=SC2016 # As above.
    sandbox "$image" -- sh -c 'kill -SEGV $$'
    equal code "$code" 139
}

identity_inside() {
    local none=0000000000000000
    # shellcheck disable=SC2016 # Expanded by the shell in the sandbox.
    sandbox --hostname box --workdir /tmp --env A=b "$image" -- sh -c \
        'echo $(hostname) $PWD $A $PPID $(id -u):$(id -g):$(id -G)'
    equal inside "$output" 'box /tmp b 1 0:0:0'
    sandbox "$image" -- grep -E '^(CapEff|CapBnd|CapPrm|NoNewPrivs|Seccomp):' /proc/self/status
    equal privileges "$(tr -s '\t\n' '  ' <<<"$output")" \
        "CapPrm: $none CapEff: $none CapBnd: $none NoNewPrivs: 1 Seccomp: 2 "
    sandbox --read-only "$image" -- sh -c 'ls /sys; ls /proc | grep -c "^[0-9]"; cat /proc/net/dev'
    holds_text network "$output" lo:
    equal 'links, and two lines of heading' "$(grep -c : <<<"$output")" 1
}

writable_root() {
    sandbox "$image" -- sh -c 'echo new >/etc/file && rm /etc/passwd && cat /etc/file'
    equal output "$output" new
    [[ -e $image/etc/passwd && ! -e $image/etc/file ]] || say_wrong 'the image changed'
}

read_only_root() {
    sandbox --read-only "$image" -- sh -c \
        'echo new >/tmp/file && cat /tmp/file; echo new >/etc/file'
    equal output "$output" new
    holds_text complaint "$complaints" 'Read-only file system'
}

another_user() {
    sandbox --user nobody "$image" -- sh -c 'id -u; id -g; touch /etc/file'
    equal output "$output" $'65534\n65534'
    holds_text complaint "$complaints" 'Permission denied'
}

users_of_its_own() {
    local root
    for root in --scratch=64MiB --read-only; do
        sandbox --map-user 0:100000:65536 "$root" "$image" -- sh -c \
            'id -u; cat /proc/self/uid_map; echo x >/dev/null; ls /dev/pts >/dev/null'
        equal code "$code" 0
        equal inside "$(tr -s ' \n' ' ' <<<"$output")" '0 0 100000 65536 '
    done
    # shellcheck disable=SC2016 # Expanded by the shell in the sandbox.
    sandbox --map-user 0:100000:65536 --user 5:6 "$image" -- sh -c 'echo $(id -u):$(id -g)'
    equal inside "$output" 5:6
    sandbox --map-user 0:100000:65536 "$image" -- sh -c 'echo new >/tmp/file && cat /tmp/file'
    equal output "$output" new
    hold --map-user 0:100000:65536 --memory 64MiB --pids 8 "$image" -- sh -c "$ready"
    equal 'user outside' "$(stat -c %u "/proc/$(tail -n 1 "$group/cgroup.procs")")" 100000
    let_go
}

denied_call_kills() {
    sandbox "$image" -- mount -t tmpfs none /tmp
    equal code "$code" 137
    holds_text complaint "$complaints" "denied call \`mount\`"
    holds_text result "$result" '"denied_call":"mount"'
}

denied_call_fails() {
    sandbox --denied-calls errno "$image" -- mount -t tmpfs none /tmp
    equal code "$code" 1
    holds_text complaint "$complaints" 'permission denied'
}

host_is_out_of_sight() {
    sandbox "$image" -- sh -c 'cat /tests/command /proc/kcore /proc/1/root/sbin/init 2>/dev/null
        ls /sys/fs/cgroup /dev/vda 2>/dev/null; echo >/proc/sysrq-trigger; echo 1 >/proc/sys/vm/x'
    equal output "$output" ''
}

many_at_once() {
    local count
    for count in 1 2 3 4 5 6 7 8; do
        alcove run --memory 32MiB --pids 8 --cpus 0.5 "$image" -- echo "$count" >>lines 2>&1 &
    done
    wait
    equal lines "$(sort lines | tr '\n' ' ')" '1 2 3 4 5 6 7 8 '
}

has_a_terminal() {
    # shellcheck disable=SC2016 # Expanded by the shell in the sandbox.
    alcove run "$image" -- sh -c '[ "$(tty)" = /dev/pts/0 ]' </dev/ttyS0 >/dev/ttyS0
}

pooled_networks() {
    alcove bench cold-start --count 20 --pooled "$image" -- /bin/true
    alcove bench cold-start --count 20 --concurrency 4 "$image" -- /bin/true
}

bad_input() {
    sandbox "$image" -- /bin/none
    equal code "$code" 127
    sandbox /none -- true
    equal code "$code" 66
    sandbox --memory 100KiB "$image" -- true
    equal code "$code" 78
    sandbox "$image" -- /etc/passwd
    equal code "$code" 126
}

# MARK: What is left.

nothing_is_left() {
    local before after round
    before=$(census)
    for ((round = 0; round < 5; round++)); do
        sandbox --memory 64MiB --pids 16 "$image" -- true
        sandbox --read-only "$image" -- sh -c 'exit 3'
        sandbox "$image" -- /bin/none
        sandbox --memory 8MiB "$image" -- tail /dev/zero
        sandbox --pids 3 "$image" -- sh -c 'sleep 1000 & sleep 1000 & sleep 1000 &'
        sandbox "$image" -- mount -t tmpfs none /tmp
        sandbox --timeout 50ms --stop-grace 1ms "$image" -- sh -c 'trap "" TERM; sleep 1000'
        sandbox --workdir /none "$image" -- true
        sandbox --map-user 0:100000:10 --cpus 0.5 "$image" -- sh -c 'sleep 1000 & exit 1'
        sandbox --rlimit nofile=1:99999999999 "$image" -- true
    done
    after=$(census)
    equal census "$after" "$before"
    equal 'cgroups' "$(find "$tree" -mindepth 1 -type d | wc -l)" 0
}

# The spare disk, with one partition that holds the image too.
prepare_partition() {
    printf 'n\np\n1\n\n\nw\n' | fdisk /dev/vdb >/dev/null 2>&1 || true
    mke2fs /dev/vdb1 >/dev/null
    mkdir -p /mnt
    mount -t ext4 /dev/vdb1 /mnt
    cp -a "$image" /mnt/image
}

prepare_partition

check 'a sandbox runs' unified_without_limits
if alcove doctor --help >/dev/null 2>&1; then
    check 'the doctor says unified' doctor_says_unified
fi
check 'a sandbox sees its own cgroup as the root' sees_own_cgroup_root
check 'the memory limit is set before the process is created' memory_is_set_first
check 'more memory than the limit kills' too_much_memory
check 'memory that grows above the limit kills' memory_that_grows
check 'files in memory count' too_much_in_files
check 'one process out of memory ends them all' one_dies_all_die
check 'less memory than the limit is fine' enough_memory
check 'the least memory never kills the starter' least_memory
check 'a start out of memory never kills the starter' start_out_of_memory
check 'scratch memory is bounded' scratch_is_bounded
check 'more processes than the limit cannot be started' too_many_processes
check 'fewer processes than the limit are fine' few_processes
check 'the least number of processes is enough for one' least_processes
check 'a busy loop is throttled to its quota' busy_is_throttled
check 'no more processors than there are' two_processors
check 'disk rates are set on the disk' disk_rates_are_set
check 'disk rates are set on the disk of a partition' partition_rates_are_set
check 'reads of the image are counted' reads_are_counted
check 'disk rates without a disk do not hold' no_disk_below
check 'all limits hold, strictly' all_limits_hold
check 'a timeout kills a tree of processes' timeout_kills_a_tree
check 'a frozen sandbox is killed' frozen_and_killed
check 'a frozen sandbox goes on when thawed' frozen_and_thawed
check 'signals are passed on' signals_are_passed_on
check 'a killed starter leaves nothing' starter_is_killed
check 'exit codes and signals are kept' exit_codes
check 'a sandbox has an identity and no privileges' identity_inside
check 'a writable root is a layer above the image' writable_root
check 'a read-only root cannot be changed' read_only_root
check 'another user' another_user
check 'a user namespace' users_of_its_own
check 'a denied call kills' denied_call_kills
check 'a denied call fails when asked to' denied_call_fails
check 'the host is out of sight' host_is_out_of_sight
check 'eight at once' many_at_once
check 'a terminal of its own' has_a_terminal
check 'many starts, and pooled network namespaces' pooled_networks
check 'bad input has exit codes of its own' bad_input
check 'fifty runs leave nothing' nothing_is_left

say_result

#!/usr/bin/env bash
set -euo pipefail

# The checks of the agent that scripts/testbed runs in its machine: limits of its sandboxes where
# the kernel enforces them all, and what becomes of them when it is killed.

# shellcheck source=Tests/Testbed/agent-life.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent-life.sh"

# MARK: The node.

agent_starts() {
    configure_agent never
    alcoved --check-config --config /etc/alcove/alcoved.toml
    start_agent
    holds_text info "$(alcove info)" 'process'
}

totals_are_real() {
    local capacity total memory
    capacity=$(capacity)
    total=$(part total "$capacity")
    memory=$(($(value /proc/meminfo MemTotal:) * 1024))
    equal CPUs "$(number "$total" milli_cpus)" "$(($(nproc) * 1000))"
    equal memory "$(number "$total" memory_bytes)" "$memory"
    equal pids "$(number "$total" pids)" "$(cat /proc/sys/kernel/pid_max)"
    equal 'memory for sandboxes' \
        "$(number "$(part allocatable "$capacity")" memory_bytes)" "$((memory - (1 << 30)))"
    holds_text conditions "$capacity" '"conditions":[]'
}

# MARK: Memory.

limits_are_set() {
    create a --memory 64MiB --cpus 0.5 --pids 16 --io-read 8MiB/s --io-write 4MiB/s \
        "$image" -- sleep 100000
    equal 'limits that hold' "$(grep -o '"holds":true' <<<"$sandbox" | wc -l)" 4
    equal 'limits that do not' "$(grep -c '"holds":false' <<<"$sandbox" || true)" 0
    find_group a
    equal memory.max "$(cat "$group/memory.max")" 67108864
    equal memory.oom.group "$(cat "$group/memory.oom.group")" 1
    equal cpu.max "$(cat "$group/cpu.max")" '50000 100000'
    equal pids.max "$(cat "$group/pids.max")" 16
    equal io.max "$(cat "$group/io.max")" \
        "$(cat /sys/block/vda/dev) rbps=8388608 wbps=4194304 riops=max wiops=max"
    alcove rm -f a
    [[ ! -d $group ]] || say_wrong 'its cgroup is left'
}

out_of_memory_is_told() {
    local peak
    create oom --memory 32MiB "$image" -- sh -c 'echo before; exec tail /dev/zero'
    ends_out_of_memory oom
    all_tell_out_of_memory oom
    peak=$(number "$ended" peak_resident_kilobytes)
    ((peak > 16384 && peak <= 32768)) || say_wrong "the peak is $peak KiB"
    equal output "$(alcove logs oom)" before
    # It is over: its room is free, and its cgroup gone.
    equal reserved "$(number "$(part reserved "$(capacity)")" memory_bytes)" 0
    equal 'cgroups' "$(groups_there)" ''
    alcove rm oom
}

out_of_memory_in_files() {
    create files --memory 32MiB "$image" -- dd if=/dev/zero of=/tmp/file bs=1M count=60
    ends_out_of_memory files
    alcove rm files
}

# A command that is run inside counts with the rest, and takes it along.
out_of_memory_by_a_command() {
    create inside --memory 32MiB "$image" -- sleep 100000
    create beside --memory 32MiB "$image" -- sleep 100000
    code=0
    alcove exec inside -- tail /dev/zero >said 2>&1 || code=$?
    equal 'code of the command' "$code" 137
    ends_out_of_memory inside
    equal 'state of another' "$(state beside)" running
    alcove exec beside -- true
    alcove rm -f inside beside
}

run_is_out_of_memory() {
    code=0
    alcove run --memory 32MiB "$image" -- tail /dev/zero 2>complaints || code=$?
    equal code "$code" 137
    holds_text complaints "$(cat complaints)" 'memory limit is used up'
    equal left "$(alcove ps -aq)" ''
}

# As on a node that is used up: the limit is not a sandbox's own. One process is killed, and what
# comes of that is the workload's affair.
node_out_of_memory() {
    echo 64M >"$tree/memory.max"
    create lives-on "$image" -- sh -c 'tail /dev/zero; echo "after $?"'
    alcove wait lives-on
    equal output "$(alcove logs lives-on 2>/dev/null)" 'after 137'
    create dies "$image" -- tail /dev/zero
    ends_out_of_memory dies
    code=0
    alcove run "$image" -- tail /dev/zero 2>complaints || code=$?
    equal code "$code" 137
    holds_text complaints "$(cat complaints)" 'the node is out of memory'
    echo max >"$tree/memory.max"
    alcove rm lives-on dies
}

enough_memory() {
    create fits --memory 64MiB "$image" -- sh -c \
        'dd if=/dev/zero of=/dev/null bs=24M count=2 && dd if=/dev/zero of=/tmp/f bs=1M count=16'
    alcove wait fits
    alcove rm fits
}

# The child shares the agent's memory until it executes: whatever becomes of it, the agent lives.
# The kernel counts a program's words before they are the program's.
least_memory() {
    local size users before words
    before=$(agent)
    words=$(head -c 100000 /dev/zero | tr '\0' x)
    for size in 1MiB 1100KiB 1200KiB 1400KiB 3MiB; do
        for users in '' --map-user=0:100000:65536; do
            alcove create --start --id least --memory "$size" ${users:+"$users"} "$image" -- \
                true "$words" "$words" >said 2>&1 || true
            kill -0 "$before" || say_wrong "$size: the agent died"
            code=0
            alcove wait least >said 2>&1 || code=$?
            ((code == 0)) || holds_text "$size" "$(cat said)" 'memory'
            alcove rm -f least
        done
    done
    equal 'code with 3 MiB' "$code" 0
}

# MARK: Processes, processors, disks.

too_many_processes() {
    create pids --pids 6 "$image" -- sh -c \
        'for i in 1 2 3 4 5 6 7 8; do sleep 100000 & done; echo survived'
    code=0
    alcove wait pids || code=$?
    at_least code "$code" 1
    holds_text logs "$(alcove logs pids 2>&1)" "can't fork"
    alcove rm pids
}

busy_is_throttled() {
    local stats periods used
    create busy --cpus 0.1 "$image" -- sh -c 'while :; do :; done'
    find_group busy
    until (($(value "$group/cpu.stat" nr_throttled) >= 3)); do :; done
    periods=$(value "$group/cpu.stat" nr_periods)
    used=$(value "$group/cpu.stat" usage_usec)
    # A quota is shared out in slices, so a little more is used: without a limit it is ten times.
    ((used <= 2 * 10000 * (periods + 4))) || say_wrong "used $used us in $periods periods"
    stats=$(alcove stats --json busy)
    at_least throttled "$(number "$stats" throttled_periods)" 3
    at_least 'time throttled' "$(number "$stats" throttled_microseconds)" 1
    alcove rm -f busy
}

# No more than the rate since before the reading began, but for a slice of the kernel's and what
# was read in a piece.
reads_are_bounded() {
    local began read_bytes up
    large_file
    read -r began _ </proc/uptime
    create reader --io-read 1MiB/s "$image" -- sh -c 'cat /large >/dev/null; sleep 100000'
    find_group reader
    until read_bytes=$(disk_value rbytes) && ((read_bytes >= 3 << 20)); do :; done
    read -r up _ </proc/uptime
    up=$((${up/./} - ${began/./}))
    ((read_bytes <= (up + 50) * 10486 + (1 << 20))) ||
        say_wrong "read $read_bytes bytes in $up hundredths of a second"
    alcove update --io-read 1GiB/s reader
    holds_text io.max "$(cat "$group/io.max")" 'rbps=1073741824 '
    until (($(disk_value rbytes) >= 12 << 20)); do :; done
    alcove rm -f reader
}

# The same of what is written: past the page cache of the file below, so the kernel knows whose it
# is. What is written at once, and not yet on the disk, is no more than memory allows.
scratch_writes_are_bounded() {
    local began written up
    read -r began _ </proc/uptime
    create writer --scratch-on disk --scratch 64MiB --memory 64MiB --io-write 1MiB/s "$image" -- \
        sh -c 'dd if=/dev/zero of=/file bs=64k count=256 conv=fsync; sleep 100000'
    equal 'limits that hold' "$(grep -o '"holds":true' <<<"$sandbox" | wc -l)" 2
    find_group writer
    holds_text io.max "$(cat "$group/io.max")" "$(cat /sys/block/vda/dev) rbps=max wbps=1048576 "
    until written=$(disk_value wbytes) && ((written >= 3 << 20)); do :; done
    read -r up _ </proc/uptime
    up=$((${up/./} - ${began/./}))
    ((written <= (up + 50) * 10486 + (1 << 20))) ||
        say_wrong "wrote $written bytes in $up hundredths of a second"
    alcove update --io-write 1GiB/s writer
    until (($(disk_value wbytes) >= 16 << 20)); do :; done
    alcove rm -f writer
}

scratch_files() { cat /sys/block/loop*/loop/backing_file 2>/dev/null | wc -l; }

scratch_outlives_the_agent() {
    create kept --scratch-on disk --scratch 16MiB "$image" -- sh -c \
        'echo kept >/file; trap "cat /file; exit 7" USR1; while :; do sleep 100000 & wait; done'
    alcove create --id waits --scratch-on disk --scratch 16MiB "$image" -- true
    equal 'with one that waits' "$(scratch_files)" 2
    equal 'reserved' "$(reserved disk_bytes)" "$((2 * (20 << 20)))"
    kill_agent
    until (($(scratch_files) == 1)); do :; done
    start_agent
    alcove start waits
    alcove wait waits
    alcove stop --signal USR1 --grace 60s kept || true
    holds_text output "$(alcove logs kept)" kept
    until (($(scratch_files) == 0)); do :; done
    equal 'reserved at the end' "$(reserved disk_bytes)" 0
    alcove rm kept waits
}

# MARK: Statistics.

statistics_are_real() {
    local stats part
    large_file
    create seen --memory 16MiB --cpus 1 --pids 16 --io-read 1GiB/s "$image" -- sh -c \
        'while :; do :; done & while :; do cat /large >/dev/null; done'
    # The kernel sums up what was waited for every two seconds.
    until stats=$(alcove stats --json seen) && has_stalled cpu && has_stalled memory &&
        has_stalled io; do
        :
    done
    at_least 'time in the kernel' "$(number "$stats" system_microseconds)" 1
    part=$(part memory "$stats")
    at_least memory "$(number "$part" current_bytes)" 1048576
    at_least 'most memory' "$(number "$part" peak_bytes)" 8388608
    equal 'limit of memory' "$(number "$part" limit_bytes)" 16777216
    equal kills "$(number "$part" kills)" 0
    part=$(part pids "$stats")
    at_least processes "$(number "$part" current)" 3
    equal 'limit of processes' "$(number "$part" limit)" 16
    part=$(part io "$stats")
    at_least 'bytes read' "$(number "$part" read_bytes)" 1048576
    at_least reads "$(number "$part" reads)" 1
    part=$(alcove stats seen)
    holds_text 'for people' "$part" '/ 16 MiB'
    alcove rm -f seen
}

has_stalled() { (($(number "$(part "$1_pressure" "$stats")" total_microseconds) > 0)); }

# Three that are busy on two processors: somebody waits.
pressure_is_shown() {
    local before
    before=$(cpu_stall)
    create busy-1 --cpus 0.6 "$image" -- sh -c 'while :; do :; done'
    create busy-2 --cpus 0.6 "$image" -- sh -c 'while :; do :; done & while :; do :; done'
    until (($(cpu_stall) > before)); do :; done
    alcove rm -f busy-1 busy-2
}

cpu_stall() { number "$(part cpu_pressure "$(capacity)")" total_microseconds; }

check 'the agent starts' agent_starts
check 'what is there is counted' note_everything
check 'what the node has is what the kernel says' totals_are_real
check 'limits are set before a sandbox is said to run' limits_are_set
check 'out of memory is told by all that tell' out_of_memory_is_told
check 'files in memory count' out_of_memory_in_files
check 'a command that is run inside counts' out_of_memory_by_a_command
check 'run through the agent tells out of memory' run_is_out_of_memory
check 'a node out of memory is told apart' node_out_of_memory
check 'less memory than the limit is fine' enough_memory
check 'the least memory never kills the agent' least_memory
check 'more processes than the limit cannot be started' too_many_processes
check 'a busy sandbox is throttled to its quota' busy_is_throttled
check 'reads are bounded, and less so after an update' reads_are_bounded
check 'writes to scratch space on the disk are bounded' scratch_writes_are_bounded
check 'scratch space on the disk outlives the agent, and nothing else' scratch_outlives_the_agent
check 'statistics are real' statistics_are_real
check 'the node shows pressure' pressure_is_shown
check 'memory can be given to a sandbox that runs' memory_update_holds
check 'a memory limit is not set below what is in use' memory_update_is_refused
check 'files in the page cache make room for a lower limit' memory_update_reclaims
check 'CPUs and processes can be given and taken' other_updates_hold
check 'limits can be set where there were none' updates_without_limits
check 'a refused update changes nothing' refused_update
check 'pausing freezes, resuming thaws' pause_and_resume
check 'a paused sandbox is stopped, killed and timed out' paused_and_ended
check 'admission counts what the node really has' admission_is_exact
check 'a node that is full holds what it promised' full_node_holds
check 'a killed agent leaves limits in force' limits_outlive_the_agent
check 'out of memory while no agent is there is told' out_of_memory_meanwhile
check 'a paused sandbox is adopted as such' paused_is_adopted
check 'an update that a kill cut short is finished' update_is_finished
check 'no outcome is lost to kills at any time' kills_lose_no_outcome
check 'nothing is left of them' nothing_is_left
check 'the agent ends and leaves nothing' agent_ends

say_result

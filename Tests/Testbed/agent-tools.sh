#!/usr/bin/env bash
# shellcheck disable=SC2034 # Whoever sources this uses the rest.
set -euo pipefail

# What the checks of the agent are made of: an agent, its sandboxes, and what they are asked.

# shellcheck source=Tests/Testbed/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

tree=/sys/fs/cgroup/alcoved
state_folder=/var/lib/alcove
agent_log=$work/agent.log
export SWIFT_BACKTRACE=enable=no

# MARK: The agent.

# As on a node, all at its defaults but what the checks count with, and whether sandboxes may be
# microVMs: what is measured of an emulated KVM does not decide what is tested.
configure_agent() {
    mkdir -p /etc/alcove
    cat >/etc/alcove/alcoved.toml <<TEXT
[node]
name = "testbed"

[capacity]
kept_memory = "1GiB"
kept_disk = "1MiB"
default_memory = "1MiB"
default_disk = "1MiB"

[sandboxes]
microvms = "$1"

[network]
enabled = true
name_servers = ["192.0.2.2"]
TEXT
}

# Its pid.
agent() { cat "$work/agent"; }

# Started as on a node, and done when it answers. Checks have shells of their own, which it
# outlives.
start_agent() {
    local process
    setsid alcoved --config /etc/alcove/alcoved.toml </dev/null >>"$agent_log" 2>&1 &
    process=$!
    echo "$process" >"$work/agent"
    until alcove info >/dev/null 2>&1; do
        kill -0 "$process" || say_wrong "the agent ended: $(tail -n 3 "$agent_log")"
    done
}

# After a check that failed: what it left must not fail others.
after_failure() {
    tail -n 2 "$agent_log"
    echo max >"$tree/memory.max"
    kill -0 "$(agent)" 2>/dev/null || (start_agent) || return 0
    alcove ps --all --quiet | xargs -r alcove rm -f >/dev/null 2>&1 || true
}

kill_agent() {
    local process
    process=$(agent)
    kill -KILL "$process"
    is_over "$process"
}

# Waits for a process's end, whoever reaps it.
is_over() { until [[ ! -d /proc/$1 || $(process_state "$1") == Z ]]; do :; done; }
process_state() { sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null || true; }

# MARK: Sandboxes.

# Starts one and keeps what is told of it in `sandbox`.
create() {
    local id=$1
    shift
    sandbox=$(alcove create --json --start --id "$id" "$@" 2>complaints.txt) ||
        say_wrong "$id: $(cat complaints.txt)"
    sandbox=$(tr -d ' \n' <<<"$sandbox")
}

# What `ps` tells of one, as JSON on a line.
told() { alcove ps --all --json "$1" | tr -d ' \n'; }
state() { text "$(told "$1")" state; }

# Its cgroup, in `group`: that of the process which the agent tells.
find_group() {
    local pid path
    pid=$(number "$(told "$1")" pid)
    IFS=: read -r _ _ path <"/proc/$pid/cgroup"
    group=/sys/fs/cgroup$path
    [[ $group == "$tree"/* && -d $group ]] || say_wrong "no cgroup at $group"
}

groups_there() { find "$tree" -mindepth 1 -type d; }

# Waits for its end, which must be that it was out of memory. `ended` is what `wait` says, as JSON.
ends_out_of_memory() {
    code=0
    ended=$(alcove wait --json "$1") || code=$?
    equal "code of $1" "$code" 137
    holds_text 'wait, for programs' "$ended" "$out_of_memory"
}

out_of_memory='"ending":{"out_of_memory":{}},"exit_code":137'

# All that tell of its end must say so.
all_tell_out_of_memory() {
    holds_text 'wait, for people' "$(alcove wait "$1" || true)" "$1  out of memory"
    holds_text ps "$(alcove ps --all "$1")" 'stopped: out of memory'
    holds_text 'ps, for programs' "$(told "$1")" "$out_of_memory"
    holds_text 'events, for people' "$(alcove events "$1")" 'stopped: out of memory'
    equal events "$(alcove events --json "$1" | grep -c '"after":"stopped".*"out_of_memory"')" 1
}

# Runs a command in a sandbox that takes so many MiB at once.
take_memory() { alcove exec "$1" -- dd if=/dev/zero of=/dev/null bs="$2M" count=1; }

# MARK: Answers.

# An answer from a key on.
part() {
    local rest=${2#*\""$1"\":}
    [[ $rest != "$2" ]] || say_wrong "no \`$1\` in \`$2\`"
    printf '%s\n' "$rest"
}

capacity() { alcove capacity --json | tr -d ' \n'; }
reserved() { number "$(part reserved "$(capacity)")" "$1"; }

# A number of the image's disk in `io.stat`.
disk_value() {
    local line
    line=$(grep "^$(cat /sys/block/vda/dev) " "$group/io.stat") || return 0
    line=${line#*"$1"=}
    printf '%s\n' "${line%% *}"
}

# MARK: The host.

# A file in the image that no sandbox's page cache holds.
large_file() {
    [[ -e $image/large ]] || dd if=/dev/zero of="$image/large" bs=64k count=384 2>/dev/null
    sync
    echo 3 >/proc/sys/vm/drop_caches
}

# All that could be left of sandboxes, on one line.
everything() {
    printf '%s, namespaces %s, files %s\n' "$(census)" "$(namespaces)" \
        "$(find "$state_folder/sandboxes" -mindepth 1 | wc -l)"
}

# Namespaces that a process is in.
namespaces() {
    stat -c %N /proc/[0-9]*/ns/* 2>/dev/null | sed 's/.* -> //' | sort -u | wc -l
}

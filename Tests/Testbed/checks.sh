#!/usr/bin/env bash
# shellcheck disable=SC2034 # Whoever sources this uses the rest.
set -euo pipefail

# What the checks in the machine of scripts/testbed are made of; read by their shell.

image=/image
tree=/sys/fs/cgroup/alcove
work=$(mktemp -d)
passed=0
failed=0

say_wrong() {
    printf '%s\n' "$*"
    return 1
}

equal() { [[ $2 == "$3" ]] || say_wrong "$1: expected \`$3\`, got \`$2\`"; }
holds_text() { [[ $2 == *"$3"* ]] || say_wrong "$1: no \`$3\` in \`$2\`"; }
at_least() { ((${2:-0} >= $3)) || say_wrong "$1: expected at least $3, got \`$2\`"; }

# What hangs is a failure, and not for the machine's own time limit to find: that stands for a
# machine that is slow. How slow this one is, its boot tells.
longest=$((BOOTED * 20 > 120 ? BOOTED * 20 : 120))
mkfifo "$work/over" "$work/never"
exec {over}<>"$work/over" {never}<>"$work/never"

# Nothing is ever written there. `sleep` would be a process to count.
pause() { read -r -t "$1" -u "$never" || true; }

# Every process that has a program, and where in the kernel it waits.
waits_where() {
    local process words
    for process in /proc/[0-9]*; do
        words=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null) || continue
        [[ -z $words ]] || printf '%s %s: %s\n' "${process#/proc/}" "${words:0:60}" \
            "$(awk '{ printf "%s ", $2 }' "$process/stack" 2>/dev/null)"
    done
}

# Performs a check in a shell of its own, where the first failing command ends it.
check() {
    local name=$1 code=0 began=$SECONDS why worker watcher
    shift
    mkdir -p "$work/check"
    (
        set -e
        cd "$work/check"
        "$@"
    ) >"$work/said" 2>&1 &
    worker=$!
    (
        read -r -t "$longest" -u "$over" && exit 0
        waits_where
        printf 'no end after %s s\n' "$longest" >>"$work/said"
        kill -KILL "$worker"
        exit 1
    ) &
    watcher=$!
    wait "$worker" 2>/dev/null || code=$?
    echo >&"$over"
    # One that came first has not read the line.
    wait "$watcher" || read -r -u "$over"
    if [[ $code == 0 ]]; then
        printf 'ok %s (%s s)\n' "$name" "$((SECONDS - began))"
        passed=$((passed + 1))
    else
        why=$(tail -n 4 "$work/said" | tr '\n' ' ')
        printf 'not ok %s: %s\n' "$name" "${why:-exit code $code}"
        failed=$((failed + 1))
        ! declare -F after_failure >/dev/null || after_failure
    fi
    rm -rf "$work/check"
}

# Runs a sandbox to its end: its output in `output`, its complaints in `complaints`, its exit code
# in `code`, its result in `result`.
sandbox() {
    code=0
    : >result.json
    alcove run --result result.json "$@" >output.txt 2>complaints.txt || code=$?
    output=$(cat output.txt)
    complaints=$(cat complaints.txt)
    result=$(cat result.json)
    printf 'exit code %s: %s\n' "$code" "$complaints"
}

# Starts a sandbox whose workload says a line when it is ready and then holds on to its input.
# `group` is its cgroup as long as it lives.
hold() {
    mkfifo input said
    alcove run --result result.json "$@" <input >said 2>complaints.txt &
    holder=$!
    exec {input}>input {said}<said
    read -r line <&"$said" || say_wrong "no line: $(cat complaints.txt)"
    group=$(echo "$tree"/sandbox-"$holder"-*)
    [[ -d $group ]] || say_wrong "no cgroup at $group"
}

# Lets go of it and waits for its end.
let_go() {
    exec {input}>&-
    code=0
    wait "$holder" || code=$?
    exec {said}<&-
}

ready='echo ready; read -r line || true'

# The sum of a key over a flat-keyed file.
value() { awk -v key="$2" '$1 == key { print $2 }' "$1"; }

# The first number after a key in an object of JSON. To look for it in a part of it, begin there:
# `number "${stats#*\"memory\"}" current_bytes`.
number() {
    local rest=${1#*\""$2"\":}
    [[ $rest != "$1" ]] || say_wrong "no \`$2\` in \`$1\`"
    rest=${rest# }
    printf '%s\n' "${rest%%[!0-9]*}"
}

# The first text after a key.
text() {
    local rest=${1#*\""$2"\":}
    [[ $rest != "$1" ]] || say_wrong "no \`$2\` in \`$1\`"
    rest=${rest#*\"}
    printf '%s\n' "${rest%%\"*}"
}

# What a sandbox must not leave: processes with a program, mounts, cgroups.
census() {
    local process word count=0
    for process in /proc/[0-9]*; do
        # Threads of the kernel have no words.
        word=
        { read -r -d '' word <"$process/cmdline" || true; } 2>/dev/null
        [[ -z $word ]] || count=$((count + 1))
    done
    printf 'processes %s, mounts %s, cgroups %s\n' "$count" "$(wc -l </proc/self/mountinfo)" \
        "$(find "$tree" -mindepth 1 -type d 2>/dev/null | wc -l)"
}

# The last line, and the exit code.
say_result() {
    printf '%s passed, %s failed\n' "$passed" "$failed"
    ((failed == 0))
}

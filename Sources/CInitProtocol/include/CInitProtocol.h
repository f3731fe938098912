// What travels on a sandbox's report pipe: from the set-up code before `exec`, then from
// alcove-init. Shared by programs over glibc and over musl, so plain types only.
#ifndef ALCOVE_INIT_PROTOCOL_H
#define ALCOVE_INIT_PROTOCOL_H

#include <stdint.h>

enum alcove_report_kind {
    /// A call of the set-up failed. `value` is the error number, `detail` the index of the call.
    ALCOVE_REPORT_SETUP_FAILED = 1,
    /// alcove-init runs.
    ALCOVE_REPORT_INIT_READY = 2,
    /// The workload is being executed. `value` is its pid inside.
    ALCOVE_REPORT_STARTED = 3,
    /// The workload could not be executed. `value` is the error number.
    ALCOVE_REPORT_EXEC_FAILED = 4,
    /// A process made a denied call and was killed. `value` is the call's number, the upper half
    /// of `detail` the architecture, the lower half the pid.
    ALCOVE_REPORT_DENIED = 5,
    /// The workload exited. `value` is its code.
    ALCOVE_REPORT_EXITED = 6,
    /// The workload died by a signal. `value` is the signal, `detail` 1 when it left a core.
    ALCOVE_REPORT_SIGNALED = 7,
};

/// One record, written whole by one `write`.
struct alcove_report {
    uint32_t kind;
    int32_t value;
    uint64_t detail;
    /// CLOCK_MONOTONIC when it was written.
    uint64_t nanoseconds;
};

#endif

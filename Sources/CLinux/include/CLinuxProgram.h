// A program of system calls: what a child performs between `clone3` and `exec`.
//
// The host lays the calls out ahead of time; the child only performs them, one after another. It
// allocates nothing, takes no lock, and knows nothing of what the calls mean.
#ifndef ALCOVE_CLINUX_PROGRAM_H
#define ALCOVE_CLINUX_PROGRAM_H

#include <stdint.h>

/// Numbers above every system call: what the interpreter does by itself.
enum {
    /// Stores the monotonic clock in the mark numbered by the first argument.
    ALCOVE_CALL_MARK = 0xffff,
    /// Fails with the error number in the first argument: how tests inject a failure.
    ALCOVE_CALL_FAIL = 0xfffe,
    /// Sends the descriptor in the second argument over the socket in the first.
    ALCOVE_CALL_SEND_DESCRIPTOR = 0xfffd,
    /// Waits until the word at the address in the first argument is not 0. Fails with the error
    /// number that it then is, negated; 1 is good.
    ALCOVE_CALL_AWAIT = 0xfffc,
    /// Sets the word at the address in the first argument to 1, and wakes who waits for it.
    ALCOVE_CALL_TELL = 0xfffb,
    /// Reads one byte from the descriptor in the first argument. Fails at the end of the file.
    ALCOVE_CALL_AWAIT_BYTE = 0xfffa,
};

/// How an argument of a call is meant; two bits for each in `alcove_call.modes`.
enum {
    ALCOVE_ARGUMENT_LITERAL = 0,
    /// The value in a slot: a descriptor that the host gave or an earlier call made.
    ALCOVE_ARGUMENT_SLOT = 1,
};

enum {
    ALCOVE_SLOTS = 48,
    ALCOVE_MARKS = 48,
    ALCOVE_CHILD_STACK = 16384,
    /// How long a child waits for another process of this host, in seconds.
    ALCOVE_PATIENCE = 10,
};

/// One call: a cache line.
struct alcove_call {
    uint16_t number;
    /// The step of the plan that this call belongs to: says what failed.
    uint16_t step;
    /// Two bits for each argument.
    uint16_t modes;
    /// Where the result goes, or -1.
    int16_t result_slot;
    /// An error number that does not matter here, or 0.
    int32_t tolerated;
    int32_t reserved;
    uint64_t arguments[6];
};

/// What one run of a program reads and writes. The host keeps it until the child is gone.
struct alcove_run {
    const struct alcove_call *calls;
    uint64_t call_count;
    /// Where a failure is reported: the write end of the report pipe.
    int32_t report_descriptor;
    /// Where it is reported as well, or -1.
    int32_t report_file;
    int32_t slots[ALCOVE_SLOTS];
    uint64_t marks[ALCOVE_MARKS];
    /// ALCOVE_CHILD_STACK bytes, aligned to 16: the child's stack until it executes.
    void *stack;
};

/// Starts a child that performs the program on a stack of its own, in the same memory if
/// `clone_flags` has CLONE_VM. Without, `run` must be memory that is shared anyway.
///
/// Blocks every signal around the call and leaves them blocked in the child, with default
/// dispositions. Gives the child's pid, or a negated error number. `pidfd` receives its descriptor.
int64_t alcove_run_start(struct alcove_run *run, uint64_t clone_flags, int32_t cgroup_descriptor,
                         int32_t *pidfd);

#endif

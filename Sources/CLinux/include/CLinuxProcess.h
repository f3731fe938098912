// Waiting for a process, and passing descriptors between processes.
#ifndef ALCOVE_CLINUX_PROCESS_H
#define ALCOVE_CLINUX_PROCESS_H

#include <stdint.h>

/// How a child ended, and what it used.
struct alcove_ending {
    /// The exit code, or the signal that ended it.
    int32_t status;
    /// Whether a signal ended it.
    int32_t signaled;
    uint64_t user_microseconds;
    uint64_t system_microseconds;
    uint64_t peak_resident_kilobytes;
};

/// Reaps the child behind a pidfd that has ended. Gives 0, 1 when it still runs, or a negated
/// error number.
int64_t alcove_reap(int32_t pidfd, struct alcove_ending *ending);

/// Receives one descriptor, close-on-exec, from a socket. Gives it, or a negated error number.
int64_t alcove_receive_descriptor(int32_t socket);

/// A descriptor that becomes readable when one of the signals in the mask is pending; they are
/// blocked in the calling thread. Bit n-1 stands for signal n.
int64_t alcove_signal_descriptor(uint64_t mask);

#endif

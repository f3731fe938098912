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

/// A message that came over a socket of whole messages.
struct alcove_message {
    /// How many bytes it has; 0 at the end.
    int64_t size;
    /// The descriptor that came with it, close-on-exec, or -1.
    int32_t descriptor;
    /// Who sent it, where the socket asks for credentials; else 0.
    int32_t sender;
};

/// Receives into the bytes, without waiting. Gives 0 or a negated error number; what is longer, or
/// has more descriptors, gives that of EBADMSG.
int64_t alcove_receive_message(int32_t socket, void *bytes, uint64_t count,
                               struct alcove_message *message);

enum { ALCOVE_MOST_PASSED = 3 };

/// Sends a message with up to ALCOVE_MOST_PASSED descriptors, without waiting.
int64_t alcove_send_message(int32_t socket, const void *bytes, uint64_t count,
                            const int32_t *descriptors, uint64_t descriptor_count);

/// A descriptor that becomes readable when one of the signals in the mask is pending; they are
/// blocked in the calling thread. Bit n-1 stands for signal n.
int64_t alcove_signal_descriptor(uint64_t mask);

#endif

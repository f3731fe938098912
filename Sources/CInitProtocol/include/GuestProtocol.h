// What the monitor of a microVM and alcove-init, as the first process of its guest, tell each
// other over vsock. proto/guest.md describes it. All numbers are little-endian. Shared by programs
// over glibc and over musl, so plain types only.
#ifndef ALCOVE_GUEST_PROTOCOL_H
#define ALCOVE_GUEST_PROTOCOL_H

#include <stdint.h>

enum {
    ALCOVE_GUEST_VERSION = 1,
    /// Where the monitor listens: the guest's first process connects to it once, when it is ready.
    /// That connection is the guest's link, by which its workload runs.
    ALCOVE_GUEST_LINK_PORT = 1024,
    /// Where the guest's first process listens, one connection for each further command.
    ALCOVE_GUEST_COMMAND_PORT = 1025,
    /// A frame carries at most so many bytes after its head, but for ALCOVE_FRAME_START.
    ALCOVE_FRAME_LARGEST = 16384,
    /// So many at most has ALCOVE_FRAME_START.
    ALCOVE_FRAME_START_LARGEST = 131072,
    ALCOVE_GUEST_MOST_TEXTS = 8192 + 64,
    /// So many commands run at once besides the workload; a further one is refused.
    ALCOVE_GUEST_COMMANDS = 16,
    /// So many bounds of a process a start may have.
    ALCOVE_GUEST_MOST_LIMITS = 16,
};

/// Stands before each frame.
struct alcove_frame {
    uint8_t kind;
    /// Of output: ALCOVE_LOG_OUTPUT or ALCOVE_LOG_ERROR; zero otherwise.
    uint8_t stream;
    uint16_t reserved;
    /// Of the bytes that follow.
    uint32_t length;
};

enum alcove_frame_kind {
    // From the guest, on its link alone:
    /// An `alcove_guest_ready`. The first frame.
    ALCOVE_FRAME_READY = 1,
    /// An `alcove_guest_statistics`.
    ALCOVE_FRAME_STATISTICS = 2,

    // From the guest, of the process that runs by a connection:
    /// An `alcove_guest_value`: the pid. It is being executed.
    ALCOVE_FRAME_STARTED = 16,
    /// Output. A terminal's is ALCOVE_LOG_OUTPUT.
    ALCOVE_FRAME_OUTPUT = 17,
    /// An `alcove_guest_value`: the error number, the detail is an `alcove_execute_stage`. Last.
    ALCOVE_FRAME_FAILED = 18,
    /// An `alcove_guest_value`: the exit code. After all output. Last.
    ALCOVE_FRAME_EXITED = 19,
    /// An `alcove_guest_value`: the signal; of the detail, bit 0 says that it left a core, bit 1
    /// that the guest ran out of memory. Last.
    ALCOVE_FRAME_SIGNALED = 20,
    /// An `alcove_guest_value`: an `alcove_refusal`. Last.
    ALCOVE_FRAME_REFUSED = 21,

    // To the guest, on any connection:
    /// An `alcove_guest_start`.
    ALCOVE_FRAME_START = 32,
    /// Input for the process. What does not fit waits, and so does all that comes after it.
    ALCOVE_FRAME_INPUT = 33,
    /// The end of its input. No bytes.
    ALCOVE_FRAME_INPUT_END = 34,
    /// An `alcove_guest_value`: a signal for its process group.
    ALCOVE_FRAME_SIGNAL = 35,
    /// An `alcove_guest_value`: rows in the upper half of the value, columns in the lower.
    ALCOVE_FRAME_RESIZE = 36,

    // To the guest, on its link alone:
    /// Asks for ALCOVE_FRAME_STATISTICS. No bytes.
    ALCOVE_FRAME_ASK_STATISTICS = 48,
    /// 8 bytes: the nanoseconds since 1970, to set the clock to.
    ALCOVE_FRAME_CLOCK = 49,
    /// 16 to 512 bytes of entropy, which are credited and make the guest's generator anew.
    ALCOVE_FRAME_RESEED = 50,
    /// Text: the host name.
    ALCOVE_FRAME_HOSTNAME = 51,
    /// An `alcove_guest_network`.
    ALCOVE_FRAME_NETWORK = 52,
    /// Orderly end: the file systems are synchronised, the machine is switched off. No bytes.
    ALCOVE_FRAME_POWER_OFF = 53,
    /// An `alcove_guest_value`: so many processes and threads at most, the guest's first process
    /// included. It holds for what is started from then on: the first one comes before
    /// ALCOVE_FRAME_START. A guest that cannot hold it ends.
    ALCOVE_FRAME_PROCESSES = 54,
};

struct alcove_guest_ready {
    uint32_t version;
    /// How long the guest's first process took to be ready.
    uint32_t microseconds;
    /// Since the guest's kernel began to count.
    uint64_t nanoseconds;
};

struct alcove_guest_value {
    int32_t value;
    uint32_t detail;
};

enum {
    ALCOVE_GUEST_TERMINAL = 1,
    /// The process has an input, which ALCOVE_FRAME_INPUT fills; otherwise /dev/null.
    ALCOVE_GUEST_INPUT = 2,

    ALCOVE_GUEST_DETAIL_CORE = 1,
    ALCOVE_GUEST_DETAIL_OUT_OF_MEMORY = 2,
};

/// A bound of a process, as `setrlimit` has it.
struct alcove_guest_limit {
    uint32_t resource;
    uint32_t reserved;
    uint64_t soft;
    uint64_t hard;
};

/// Asks for a process. `limits` times `alcove_guest_limit` follow, then these texts, each ended by
/// zero, and nothing else: the working directory; the paths of the program to try, in order; its
/// arguments; its environment.
struct alcove_guest_start {
    uint32_t flags;
    uint32_t user;
    uint32_t group;
    uint16_t rows;
    uint16_t columns;
    uint16_t programs;
    uint16_t arguments;
    uint16_t variables;
    uint16_t limits;
};

/// Of the whole guest.
struct alcove_guest_statistics {
    uint64_t memory_total_bytes;
    uint64_t memory_available_bytes;
    uint64_t cpu_nanoseconds;
    /// Threads, beyond those that there were before the workload was started.
    uint64_t processes;
    uint64_t out_of_memory_kills;
};

/// The one link of the guest, eth0. IPv4 addresses as on the wire.
struct alcove_guest_network {
    uint8_t address[4];
    uint8_t gateway[4];
    uint8_t name_server[4];
    uint8_t prefix;
    uint8_t reserved;
    /// 0 leaves it.
    uint16_t mtu;
};

#endif

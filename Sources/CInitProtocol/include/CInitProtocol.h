// What the host and alcove-init tell each other: the records of a sandbox's report, the requests
// and answers on its control socket, the records of its logs. Shared by programs over glibc and
// over musl, so plain types only. All numbers are the machine's own, the lowest byte first.
#ifndef ALCOVE_INIT_PROTOCOL_H
#define ALCOVE_INIT_PROTOCOL_H

#include "GuestProtocol.h"
#include <stdint.h>

enum alcove_report_kind {
    /// A call of the set-up failed. `value` is the error number, `detail` the index of the call.
    ALCOVE_REPORT_SETUP_FAILED = 1,
    /// alcove-init runs.
    ALCOVE_REPORT_INIT_READY = 2,
    /// The workload is being executed. `value` is its pid inside.
    ALCOVE_REPORT_STARTED = 3,
    /// The workload could not be executed. `value` is the error number, `detail` an
    /// `alcove_execute_stage` where the monitor of a microVM tells it, otherwise 0.
    ALCOVE_REPORT_EXEC_FAILED = 4,
    /// A process made a denied call and was killed. `value` is the call's number, the upper half
    /// of `detail` the architecture, the lower half the pid.
    ALCOVE_REPORT_DENIED = 5,
    /// The workload exited. `value` is its code.
    ALCOVE_REPORT_EXITED = 6,
    /// The workload died by a signal. `value` is the signal, `detail` 1 when it left a core.
    ALCOVE_REPORT_SIGNALED = 7,
    /// The first record in the file of a lasting sandbox, by the host. `value` is
    /// ALCOVE_PROTOCOL_VERSION.
    ALCOVE_REPORT_REQUESTED = 8,
    /// By the monitor of a microVM: the workload was ended because the guest's memory was used up.
    /// Before ALCOVE_REPORT_SIGNALED.
    ALCOVE_REPORT_OUT_OF_MEMORY = 9,
    /// By the monitor of a microVM: the guest, or the monitor, could not go on. The reason stands
    /// on its standard error.
    ALCOVE_REPORT_GUEST_FAILED = 10,
    /// By the monitor of a microVM, before ALCOVE_REPORT_STARTED: a stage of the guest's start.
    /// `value` is an `alcove_monitor_stage`, `nanoseconds` when it was reached.
    ALCOVE_REPORT_STAGE = 11,
};

/// What the monitor of a microVM reaches on the way to the workload, in this order.
enum alcove_monitor_stage {
    ALCOVE_MONITOR_BEGAN = 1,
    /// The virtual machine is there, with its memory and its processors.
    ALCOVE_MONITOR_MACHINE = 2,
    ALCOVE_MONITOR_DEVICES = 3,
    /// The guest's kernel is in its memory.
    ALCOVE_MONITOR_LOADED = 4,
    /// The monitor has given up what a guest could use that takes it over.
    ALCOVE_MONITOR_FENCED = 5,
    /// The guest's kernel begins.
    ALCOVE_MONITOR_ENTERED = 6,
    /// Its first process begins.
    ALCOVE_MONITOR_GUEST_BEGAN = 7,
    /// That one is ready for a workload.
    ALCOVE_MONITOR_GUEST_READY = 8,
};

enum {
    /// Of all that is in this file. A host meets sandboxes that an older one started.
    ALCOVE_PROTOCOL_VERSION = 1,
};

/// One record, written whole by one `write`.
struct alcove_report {
    uint32_t kind;
    int32_t value;
    uint64_t detail;
    /// CLOCK_MONOTONIC when it was written.
    uint64_t nanoseconds;
};

/// The numbers by which alcove-init gets its descriptors.
enum alcove_fixed_descriptor {
    ALCOVE_DESCRIPTOR_REPORT = 3,
    ALCOVE_DESCRIPTOR_LISTENER = 4,
    // Those of a lasting sandbox:
    /// The file that gets each record of the report too.
    ALCOVE_DESCRIPTOR_REPORT_FILE = 5,
    /// A listening socket of whole messages (SOCK_SEQPACKET).
    ALCOVE_DESCRIPTOR_CONTROL = 6,
    /// The two segments of its logs, to append to.
    ALCOVE_DESCRIPTOR_LOG = 7,
    ALCOVE_DESCRIPTOR_OTHER_LOG = 8,
    /// The controlling side of the workload's terminal, if it has one.
    ALCOVE_DESCRIPTOR_TERMINAL = 9,
    /// The link of a guest, for the monitor of a microVM that has one.
    ALCOVE_DESCRIPTOR_LINK = 10,
};

enum {
    /// A message to alcove-init is no longer than this.
    ALCOVE_CONTROL_LARGEST = 131072,
    /// Nor has it more texts.
    ALCOVE_CONTROL_MOST_TEXTS = 8192 + 64,
    /// So many connections are served at once; further ones wait.
    ALCOVE_CONTROL_CONNECTIONS = 24,
    /// So many wait at most. Whoever finds that many waiting is one command too many.
    ALCOVE_CONTROL_WAITING = 1024,
    /// So many commands run at once; a further one is refused. The other connections are for those
    /// who come with a signal while so many run.
    ALCOVE_CONTROL_COMMANDS = 16,
};

enum alcove_request_kind {
    /// Answered by ALCOVE_ANSWER_STATE.
    ALCOVE_REQUEST_HELLO = 1,
    /// `value` is the signal: for the process group of the command that runs by this connection,
    /// otherwise for that of the workload. No answer.
    ALCOVE_REQUEST_SIGNAL = 2,
    /// The workload's terminal gets the size `value`: rows in the upper half, columns in the
    /// lower. No answer.
    ALCOVE_REQUEST_RESIZE = 3,
    /// A `struct alcove_execute`.
    ALCOVE_REQUEST_EXECUTE = 4,
};

/// A message to alcove-init, but for ALCOVE_REQUEST_EXECUTE.
struct alcove_request {
    uint32_t kind;
    int32_t value;
};

enum {
    /// The command gets a terminal, whose controlling side comes with ALCOVE_ANSWER_STARTED.
    /// Without, its standard streams come with the request.
    ALCOVE_EXECUTE_TERMINAL = 1,
};

/// Asks for a command. It lives as long as the connection at most, which is for this command from
/// now on. These texts follow, each ended by zero, and nothing else: the working directory; the
/// paths of the program to try, in order; its arguments; its environment.
struct alcove_execute {
    uint32_t kind;
    uint32_t flags;
    uint16_t rows;
    uint16_t columns;
    uint16_t programs;
    uint16_t arguments;
    uint16_t variables;
    uint16_t reserved;
};

enum alcove_answer_kind {
    /// `value` is the workload's pid inside, `detail` ALCOVE_PROTOCOL_VERSION.
    ALCOVE_ANSWER_STATE = 1,
    /// From the command's own process, so that the kernel's credentials of this message are its.
    ALCOVE_ANSWER_PROCESS = 2,
    /// The command is being executed. `value` is its pid inside.
    ALCOVE_ANSWER_STARTED = 3,
    /// It could not be. `value` is the error number, `detail` an `alcove_execute_stage`. Last.
    ALCOVE_ANSWER_FAILED = 4,
    /// The command exited. `value` is its code. Last.
    ALCOVE_ANSWER_EXITED = 5,
    /// It died by a signal. `value` is the signal, `detail` 1 when it left a core. Last.
    ALCOVE_ANSWER_SIGNALED = 6,
    /// `value` is an `alcove_refusal`. Last.
    ALCOVE_ANSWER_REFUSED = 7,
};

enum alcove_refusal {
    ALCOVE_REFUSAL_NOT_UNDERSTOOD = 1,
    ALCOVE_REFUSAL_TOO_MANY = 2,
};

/// What a command failed at.
enum alcove_execute_stage {
    ALCOVE_STAGE_PROCESS = 0,
    ALCOVE_STAGE_TERMINAL = 1,
    ALCOVE_STAGE_LIMITS = 2,
    ALCOVE_STAGE_DIRECTORY = 3,
    ALCOVE_STAGE_PROGRAM = 4,
};

/// A message of alcove-init.
struct alcove_answer {
    uint32_t kind;
    int32_t value;
    uint64_t detail;
};

enum {
    /// "ALog"
    ALCOVE_LOG_MAGIC = 0x676f4c41,
    /// A record has at most so many bytes of output.
    ALCOVE_LOG_LARGEST = 16384,
    /// The least bound of both segments.
    ALCOVE_LOG_LEAST_BOUND = 65536,
    ALCOVE_LOG_OUTPUT = 1,
    ALCOVE_LOG_ERROR = 2,
};

/// What stands before each piece of output in a segment. Segments are filled in turn, and emptied
/// before they are filled anew.
struct alcove_log_record {
    uint32_t magic;
    /// Of the output that follows.
    uint32_t length;
    /// From 0 on, over both segments. A piece that could not be written has one as well.
    uint64_t sequence;
    /// CLOCK_REALTIME when it was read from the workload.
    uint64_t nanoseconds;
    /// So many lines of this stream ended before.
    uint64_t lines;
    uint8_t stream;
    uint8_t reserved[7];
};

#endif

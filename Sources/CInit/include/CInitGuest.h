// The kernel as `alcove-init` uses it in a guest, where it is the first process of a microVM.
// Included by CInit.h; plain types only.
#ifndef ALCOVE_CINIT_GUEST_H
#define ALCOVE_CINIT_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CINIT_EEXIST = 17,
    CINIT_MOUNT_READ_ONLY = 1,
    CINIT_MOUNT_NO_SET_ID = 2,
    CINIT_MOUNT_NO_DEVICES = 4,
    CINIT_MOUNT_NO_EXECUTION = 8,
    CINIT_MOUNT_REMOUNT = 32,
    CINIT_MOUNT_BIND = 4096,
    CINIT_MOUNT_MOVE = 8192,
};

// The set-up.

enum { CINIT_TEXT = 1024, CINIT_TEXTS = 4 };
/// Rooms for texts, one each.
char *cinit_text_room(int number);
int cinit_mount(const char *source, const char *target, const char *type, unsigned long flags,
                const char *options);
int cinit_make_directory(const char *path, unsigned mode);
int cinit_make_link(const char *target, const char *path);
int cinit_remove(const char *path);
/// chdir to the path, move the mount there to the root, chroot.
int cinit_enter_root(const char *path);
void cinit_set_creation_mask(unsigned mask);
int cinit_raise_loopback(void);
/// Writes one byte to a port of the processor.
int cinit_mark(uint16_t port);
/// Writes a line to the kernel's log.
int cinit_log(const char *line, size_t size);
/// Restarts the machine, which its monitor takes for its end. Comes back only if it cannot.
void cinit_restart(void);

// The connections.

/// Connects to a port of the host. Gives a descriptor or -errno.
int cinit_connect_host(uint32_t port);
int cinit_listen_for_host(uint32_t port, int waiting);
/// The next connection, if it is one of the host.
int cinit_accept_host(int listener);

enum {
    CINIT_FRAME_HEAD = 8,
    CINIT_FRAME_LARGEST = 16384,
    CINIT_SESSIONS = 17,
    /// What a session may hold back: a frame of output, and a few small ones.
    CINIT_PENDING = CINIT_FRAME_HEAD + CINIT_FRAME_LARGEST + 128,
    CINIT_SMALL = 512,
};

/// One buffer for a frame that is on its way, room for a head before it.
unsigned char *cinit_frame(void);
/// What the connection of a session did not take yet.
unsigned char *cinit_pending(int session);
/// A small frame that a session is being sent.
unsigned char *cinit_small(int session);

/// None of these waits. 0 is the end of the connection.
long cinit_receive_bytes(int connection, void *bytes, size_t count);
/// The bytes stay where they are.
long cinit_look_at_bytes(int connection, void *bytes, size_t count);
long cinit_send_bytes(int connection, const void *bytes, size_t count);
long cinit_read(int descriptor, void *bytes, size_t count);

/// /dev/null to be read.
int cinit_open_nothing(void);
/// A pipe whose writer does not wait; both ends are closed on exec.
int cinit_open_input(int *reader, int *writer);
int cinit_set_owner(int descriptor, uint32_t user, uint32_t group);

// The machine.

int cinit_set_clock(uint64_t nanoseconds);
/// Puts what is spawned from now on into a group of so many processes and threads; another number
/// for the same group when it is called again. The group is mounted nowhere.
int cinit_limit_processes(uint32_t most);
/// Credits entropy and makes the generator anew.
int cinit_reseed(const void *bytes, size_t count);
int cinit_set_host_name(const void *bytes, size_t count);

struct cinit_network {
    uint8_t address[4];
    uint8_t gateway[4];
    uint8_t name_server[4];
    uint8_t prefix;
    uint16_t mtu;
};

/// eth0 and the default route.
int cinit_set_network(const struct cinit_network *network);
/// A text as /etc/resolv.conf, in the place of it where that cannot be written.
int cinit_set_resolver(const void *text, size_t size);

struct cinit_machine {
    uint64_t memory_total_bytes;
    uint64_t memory_available_bytes;
    uint64_t cpu_nanoseconds;
    /// Threads, those of the kernel too.
    uint64_t threads;
};

void cinit_look_at_machine(struct cinit_machine *machine);
uint64_t cinit_thread_count(void);
/// How many processes the kernel has killed because memory ran out.
uint64_t cinit_out_of_memory_kills(void);

#endif

// What alcove-init does for a sandbox that outlives its starter. Compiled against musl's headers.
#define _GNU_SOURCE
#include "CInit.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, OUTPUT_SIZE = 16384 };

// Pages of these that were never needed are never there.
static _Alignas(PAGE) char output[OUTPUT_SIZE];
static _Alignas(PAGE) unsigned char message_buffer[CINIT_MESSAGE_LIMIT];
static _Alignas(PAGE) char *texts[17 * 512];
_Static_assert(sizeof texts / sizeof *texts >= CINIT_MOST_TEXTS + 3, "and three nulls");
_Static_assert(sizeof texts % PAGE == 0, "whole pages, to be given back");

int cinit_close_all_on_exec(void) {
    // CLOSE_RANGE_CLOEXEC
    return raw(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, 4, 0, 0);
}

int cinit_keep_on_exec(int descriptor) { return raw(SYS_fcntl, descriptor, F_SETFD, 0, 0, 0); }

int cinit_open_pipe(int *reader, int *writer) {
    int ends[2];
    long failed = raw(SYS_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0);
    if (failed) return failed;
    *reader = ends[0];
    *writer = ends[1];
    return cinit_set_nonblocking(ends[0]);
}

uint64_t cinit_real_nanoseconds(void) {
    struct timespec now = {0};
    raw(SYS_clock_gettime, CLOCK_REALTIME, (long)&now, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int cinit_readable(int descriptor) {
    int count = 0;
    long failed = raw(SYS_ioctl, descriptor, FIONREAD, (long)&count, 0, 0);
    return failed ? (int)failed : count;
}

int cinit_read_output(int descriptor, size_t most) {
    size_t count = most < sizeof output ? most : sizeof output;
    return raw(SYS_read, descriptor, (long)output, (long)count, 0, 0);
}

size_t cinit_count_lines(size_t count) {
    size_t lines = 0;
    for (size_t index = 0; index < count; index++) lines += output[index] == '\n';
    return lines;
}

int cinit_append_output(int descriptor, const void *head, size_t head_size, size_t count) {
    struct iovec parts[2] = {{(void *)(uintptr_t)head, head_size}, {output, count}};
    return raw(SYS_writev, descriptor, (long)parts, 2, 0, 0);
}

int cinit_truncate(int descriptor, uint64_t size) {
    return raw(SYS_ftruncate, descriptor, (long)size, 0, 0, 0);
}

int cinit_accept(int listener) {
    int connection = raw(SYS_accept4, listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection < 0) return connection;
    // The socket is not to be found inside. Should somebody inside hold it all the same: the
    // kernel translates pids, and one that has no number here is 0.
    struct ucred peer = {-1, 0, 0};
    socklen_t size = sizeof peer;
    raw(SYS_getsockopt, connection, SOL_SOCKET, SO_PEERCRED, (long)&peer, (long)&size);
    if (peer.pid == 0 || cinit_getpid() != 1) return connection;
    cinit_close(connection);
    return -EPERM;
}

unsigned char *cinit_message_buffer(void) { return message_buffer; }

char **cinit_text_vector(void) { return texts; }

int cinit_receive(int connection, struct cinit_message *message) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof message->descriptors)];
    } control = {0};
    struct iovec content = {message_buffer, sizeof message_buffer};
    struct msghdr received = {
        .msg_iov = &content,
        .msg_iovlen = 1,
        .msg_control = &control,
        // Not the room, whose end is aligned: one more would fit in.
        .msg_controllen = CMSG_LEN(sizeof message->descriptors),
    };
    message->descriptor_count = 0;
    long size = raw(SYS_recvmsg, connection, (long)&received, MSG_CMSG_CLOEXEC, 0, 0);
    if (size < 0) return size;
    message->size = (int)size;
    message->whole = !(received.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    struct cmsghdr *header = CMSG_FIRSTHDR(&received);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return 0;
    message->descriptor_count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    __builtin_memcpy(message->descriptors, CMSG_DATA(header),
                     (size_t)message->descriptor_count * sizeof(int));
    return 0;
}

void cinit_forget_message(void) {
    raw(SYS_madvise, (long)message_buffer, sizeof message_buffer, MADV_DONTNEED, 0, 0);
    raw(SYS_madvise, (long)texts, sizeof texts, MADV_DONTNEED, 0, 0);
}

int cinit_send(int connection, const void *bytes, size_t size, int descriptor) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                   .cmsg_level = SOL_SOCKET,
                   .cmsg_type = SCM_RIGHTS},
    };
    __builtin_memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    struct iovec content = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
    }
    long sent = raw(SYS_sendmsg, connection, (long)&message, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
    return sent < 0 ? (int)sent : 0;
}

int cinit_open_terminal(int *controller, int *workload) {
    // The workload cannot put another one in the place of this path: it stands below a mount, and
    // nothing is ever made in such a file system but by the kernel.
    long opened = raw(SYS_openat, AT_FDCWD, (long)"/dev/pts/ptmx",
                      O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0, 0);
    if (opened < 0) return opened;
    int locked = 0;
    long peer = raw(SYS_ioctl, opened, TIOCSPTLCK, (long)&locked, 0, 0);
    if (peer == 0) peer = raw(SYS_ioctl, opened, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0);
    if (peer < 0) {
        cinit_close((int)opened);
        return peer;
    }
    *controller = (int)opened;
    *workload = (int)peer;
    return 0;
}

int cinit_resize(int terminal, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return raw(SYS_ioctl, terminal, TIOCSWINSZ, (long)&size, 0, 0);
}

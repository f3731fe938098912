// The connections of a guest's first process to its host. Compiled against musl's headers.
#define _GNU_SOURCE
#include "CInit.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PAGE = 4096 };

// Pages of these that were never needed are never there.
static _Alignas(PAGE) unsigned char frame[CINIT_FRAME_HEAD + CINIT_FRAME_LARGEST];
static _Alignas(PAGE) unsigned char pending[CINIT_SESSIONS][CINIT_PENDING];
static _Alignas(PAGE) unsigned char small[CINIT_SESSIONS][CINIT_SMALL];

unsigned char *cinit_frame(void) { return frame; }

unsigned char *cinit_pending(int session) { return pending[session]; }

unsigned char *cinit_small(int session) { return small[session]; }

static int open_socket(void) {
    return raw(SYS_socket, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
}

int cinit_connect_host(uint32_t port) {
    int opened = open_socket();
    if (opened < 0) return opened;
    // On a busy host, the usual 2 seconds may pass before anybody looks.
    struct timeval patience = {.tv_sec = 60};
    raw(SYS_setsockopt, opened, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, (long)&patience,
        sizeof patience);
    struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_HOST};
    int failed = raw(SYS_connect, opened, (long)&host, sizeof host, 0, 0);
    if (failed == 0) return opened;
    cinit_close(opened);
    return failed;
}

int cinit_listen_for_host(uint32_t port, int waiting) {
    int opened = open_socket();
    if (opened < 0) return opened;
    struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY};
    int failed = raw(SYS_bind, opened, (long)&any, sizeof any, 0, 0);
    if (failed == 0) failed = raw(SYS_listen, opened, waiting, 0, 0, 0);
    if (failed == 0) failed = cinit_set_nonblocking(opened);
    if (failed == 0) return opened;
    cinit_close(opened);
    return failed;
}

int cinit_accept_host(int listener) {
    struct sockaddr_vm peer = {0};
    socklen_t size = sizeof peer;
    int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    int connection = raw(SYS_accept4, listener, (long)&peer, (long)&size, flags, 0);
    if (connection < 0) return connection;
    // A process of the guest may find the port, too.
    if (peer.svm_family != AF_VSOCK || peer.svm_cid == VMADDR_CID_HOST) return connection;
    cinit_close(connection);
    return -EPERM;
}

// By recvmsg: recvfrom has an argument more than `raw`.
static long receive(int connection, void *bytes, size_t count, int flags) {
    struct iovec content = {bytes, count};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    return raw(SYS_recvmsg, connection, (long)&message, flags | MSG_DONTWAIT, 0, 0);
}

long cinit_receive_bytes(int connection, void *bytes, size_t count) {
    return receive(connection, bytes, count, 0);
}

long cinit_look_at_bytes(int connection, void *bytes, size_t count) {
    return receive(connection, bytes, count, MSG_PEEK);
}

long cinit_send_bytes(int connection, const void *bytes, size_t count) {
    return raw(SYS_sendto, connection, (long)bytes, (long)count, MSG_NOSIGNAL | MSG_DONTWAIT, 0);
}

long cinit_read(int descriptor, void *bytes, size_t count) {
    return raw(SYS_read, descriptor, (long)bytes, (long)count, 0, 0);
}

int cinit_open_nothing(void) {
    return raw(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0);
}

int cinit_open_input(int *reader, int *writer) {
    int ends[2];
    long failed = raw(SYS_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0);
    if (failed) return failed;
    *reader = ends[0];
    *writer = ends[1];
    return cinit_set_nonblocking(ends[1]);
}

int cinit_set_owner(int descriptor, uint32_t user, uint32_t group) {
    return raw(SYS_fchown, descriptor, user, group, 0, 0);
}

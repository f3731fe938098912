#define _GNU_SOURCE
#include "CLinuxProcess.h"

#include "CLinuxSystemCall.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static uint64_t microseconds(struct timeval value) {
    return (uint64_t)value.tv_sec * 1000000u + (uint64_t)value.tv_usec;
}

int64_t alcove_reap(int32_t pidfd, struct alcove_ending *ending) {
    siginfo_t information = {0};
    struct rusage usage = {0};
    int64_t result =
        alcove_system_call(SYS_waitid, P_PIDFD, (uint64_t)pidfd, (uint64_t)(uintptr_t)&information,
                           WEXITED | WNOHANG, (uint64_t)(uintptr_t)&usage, 0);
    if (result < 0)
        return result;
    if (information.si_pid == 0)
        return 1;
    ending->status = information.si_status;
    ending->signaled = information.si_code != CLD_EXITED;
    ending->user_microseconds = microseconds(usage.ru_utime);
    ending->system_microseconds = microseconds(usage.ru_stime);
    ending->peak_resident_kilobytes = (uint64_t)usage.ru_maxrss;
    return 0;
}

int64_t alcove_receive_descriptor(int32_t socket) {
    union {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    uint8_t byte = 0;
    struct iovec content = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &content,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.space};
    int64_t result = alcove_system_call(SYS_recvmsg, (uint64_t)socket,
                                        (uint64_t)(uintptr_t)&message, MSG_CMSG_CLOEXEC, 0, 0, 0);
    if (result < 0)
        return result;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (result == 0 || header == NULL || header->cmsg_type != SCM_RIGHTS)
        return -EPROTO;
    return *(int *)(void *)CMSG_DATA(header);
}

int64_t alcove_signal_descriptor(uint64_t mask) {
    int64_t result = alcove_system_call(SYS_rt_sigprocmask, SIG_BLOCK, (uint64_t)(uintptr_t)&mask,
                                        0, sizeof mask, 0, 0);
    if (result < 0)
        return result;
    return alcove_system_call(SYS_signalfd4, (uint64_t)-1, (uint64_t)(uintptr_t)&mask, sizeof mask,
                              02000000 | 04000 /* close-on-exec, non-blocking */, 0, 0);
}

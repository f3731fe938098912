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

int64_t alcove_receive_message(int32_t socket, void *bytes, uint64_t count,
                               struct alcove_message *message) {
    union {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control = {0};
    struct iovec content = {.iov_base = bytes, .iov_len = count};
    struct msghdr received = {.msg_iov = &content,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control.space};
    message->descriptor = -1;
    message->sender = 0;
    message->size = alcove_system_call(SYS_recvmsg, (uint64_t)socket,
                                       (uint64_t)(uintptr_t)&received,
                                       MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
    if (message->size < 0)
        return message->size;
    int64_t result = received.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EBADMSG : 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&received); header != NULL;
         header = CMSG_NXTHDR(&received, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_CREDENTIALS)
            message->sender = ((struct ucred *)(void *)CMSG_DATA(header))->pid;
        if (header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t passed = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const int *descriptors = (const int *)(void *)CMSG_DATA(header);
        for (size_t index = 0; index < passed; index++) {
            if (result == 0 && index == 0 && passed == 1) {
                message->descriptor = descriptors[index];
                continue;
            }
            alcove_system_call(SYS_close, (uint64_t)descriptors[index], 0, 0, 0, 0, 0);
            result = -EBADMSG;
        }
    }
    return result;
}

int64_t alcove_send_message(int32_t socket, const void *bytes, uint64_t count,
                            const int32_t *descriptors, uint64_t descriptor_count) {
    union {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(ALCOVE_MOST_PASSED * sizeof(int))];
    } control = {0};
    if (descriptor_count > ALCOVE_MOST_PASSED)
        return -EINVAL;
    struct iovec content = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        size_t size = descriptor_count * sizeof(int);
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(size),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        __builtin_memcpy(CMSG_DATA(&control.header), descriptors, size);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
    }
    return alcove_system_call(SYS_sendmsg, (uint64_t)socket, (uint64_t)(uintptr_t)&message,
                              MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0, 0);
}

int64_t alcove_signal_descriptor(uint64_t mask) {
    int64_t result = alcove_system_call(SYS_rt_sigprocmask, SIG_BLOCK, (uint64_t)(uintptr_t)&mask,
                                        0, sizeof mask, 0, 0);
    if (result < 0)
        return result;
    return alcove_system_call(SYS_signalfd4, (uint64_t)-1, (uint64_t)(uintptr_t)&mask, sizeof mask,
                              02000000 | 04000 /* close-on-exec, non-blocking */, 0, 0);
}

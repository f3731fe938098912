#define _GNU_SOURCE
#include "CInitTesting.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUT_OF_THE_WAY = 100, NOBODY = 65534, CHILD_FAILED = 99 };

static void check(long result) {
    if (result < 0) _exit(CHILD_FAILED);
}

static int moved(int descriptor) {
    if (descriptor < 0) return -1;
    int high = fcntl(descriptor, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    check(high);
    return high;
}

static void place(int high, int at) {
    if (high >= 0) check(dup2(high, at));
}

static void deny(int call) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
    check(listener);
    if (listener != CINITTESTING_LISTENER) check(dup2((int)listener, CINITTESTING_LISTENER));
    check(fcntl(CINITTESTING_LISTENER, F_SETFD, 0));
}

static void become_child(const struct cinittesting_start *start, char *const *arguments,
                         char *const *environment) {
    if (start->pid_namespace) {
        check(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
        check(mount("proc", "/proc", "proc", 0, 0));
    }
    if (start->guest_folder >= 0) {
        // By its path: the descriptor leads to a mount of another namespace.
        char link[64], path[4096] = {0};
        snprintf(link, sizeof link, "/proc/self/fd/%d", start->guest_folder);
        check(readlink(link, path, sizeof path - 1));
        check(chdir(path));
        check(mount("counts", "/proc/vmstat", 0, MS_BIND, 0));
        check(mount("resolver", "/etc/resolv.conf", 0, MS_BIND, 0));
        check(chdir("/"));
        check(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
    }
    int program = moved(start->program), input = moved(start->input);
    int output = moved(start->output), report = moved(start->report);
    int stray = moved(start->stray);
    check((long)syscall(SYS_close_range, 0, OUT_OF_THE_WAY - 1, 0));
    place(input, 0);
    place(output, 1);
    place(output, 2);
    place(report, CINITTESTING_REPORT);
    place(stray, CINITTESTING_STRAY);
    if (stray >= 0) check(fcntl(CINITTESTING_STRAY, F_SETFD, 0));
    if (start->unprivileged) {
        check(setgroups(0, 0));
        check(setresgid(NOBODY, NOBODY, NOBODY));
        check(setresuid(NOBODY, NOBODY, NOBODY));
    }
    for (int number = 1; number <= 64; number++) {
        struct sigaction action = {.sa_handler = start->ignores_signals ? SIG_IGN : SIG_DFL};
        sigaction(number, &action, 0);
    }
    if (start->denied_call >= 0) deny(start->denied_call);
    check(execveat(program, "", arguments, environment, AT_EMPTY_PATH));
}

int cinittesting_spawn(const struct cinittesting_start *start, char *const *arguments,
                       char *const *environment) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    unsigned long flags = SIGCHLD | (start->pid_namespace ? CLONE_NEWPID | CLONE_NEWNS : 0);
    if (start->guest_folder >= 0) flags |= CLONE_NEWUTS | CLONE_NEWNET;
    long process = syscall(SYS_clone, flags, 0, 0, 0, 0);
    int error = errno;
    if (process == 0) {
        become_child(start, arguments, environment);
        _exit(CHILD_FAILED);
    }
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return process < 0 ? -error : (int)process;
}

bool cinittesting_readable(int descriptor, int milliseconds) {
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    int count;
    do {
        count = poll(&entry, 1, milliseconds);
    } while (count < 0 && errno == EINTR);
    return count == 1;
}

int cinittesting_pipe(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC); }

int cinittesting_socket_pair(int descriptors[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, descriptors);
}

static int open_socket(const char *path, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
    strcpy(address->sun_path, path);
    int opened = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return opened < 0 ? -errno : opened;
}

static int closed(int descriptor) {
    int error = errno;
    close(descriptor);
    return -error;
}

int cinittesting_listen(const char *path) {
    struct sockaddr_un address;
    int opened = open_socket(path, &address);
    if (opened < 0) return opened;
    if (bind(opened, (struct sockaddr *)&address, sizeof address)) return closed(opened);
    if (listen(opened, 64)) return closed(opened);
    return fcntl(opened, F_SETFL, O_NONBLOCK) ? closed(opened) : opened;
}

int cinittesting_connect(const char *path) {
    struct sockaddr_un address;
    int opened = open_socket(path, &address);
    if (opened < 0) return opened;
    if (connect(opened, (struct sockaddr *)&address, sizeof address)) return closed(opened);
    return opened;
}

int cinittesting_wait(int process) {
    int status = 0;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int cinittesting_terminal(int descriptors[2]) {
    if (openpty(&descriptors[0], &descriptors[1], 0, 0, 0)) return -errno;
    fcntl(descriptors[0], F_SETFD, FD_CLOEXEC);
    fcntl(descriptors[1], F_SETFD, FD_CLOEXEC);
    return 0;
}

int cinittesting_sethostname_number(void) { return SYS_sethostname; }

// What a workload tries that a shell cannot say, and what a test needs beside it on the host.
//
//   probe call CASE              one call: prints `ok` or the name of its error
//   probe connect tcp PORT       to 127.0.0.1; connect abstract NAME: as `call`
//   probe listen tcp|abstract N  prints the port or the name, then waits for the end of its input
//   probe await-signal           prints `ready`, then the number of the signal that came
//   probe ignore-term            prints `ready`, lives until it is killed
//   probe forks COUNT [end]      prints how many children it got; they and it ignore SIGTERM
//   probe identity               prints real, effective and saved user and group
//   probe descriptors            prints the numbers that are open
//   probe fill PATH              writes until it fails: prints the bytes and the error
//   probe await-empty CGROUP     waits until no process is in it
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TIOCSTI
#define TIOCSTI 0x5412
#endif

static int say(long result) {
    puts(result >= 0 ? "ok" : strerrorname_np(errno));
    return 0;
}

struct test_case {
    const char *name;
    long (*perform)(void);
};

static char buffer[4096];

static long with_clone(unsigned long flags) {
    long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    return child;
}

static long try_mount(void) { return mount("none", "/tmp", "tmpfs", 0, NULL); }
static long try_remount(void) { return mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL); }
static long try_bind(void) { return mount("/proc", "/tmp", NULL, MS_BIND, NULL); }
static long try_umount(void) { return umount2("/proc/sys", MNT_DETACH); }
static long try_pivot_root(void) { return syscall(SYS_pivot_root, ".", "."); }
static long try_chroot(void) { return chroot("/tmp"); }
static long try_open_tree(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 1); }
static long try_move_mount(void) {
    return syscall(SYS_move_mount, AT_FDCWD, "/a", AT_FDCWD, "/b", 0);
}
static long try_fsopen(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static long try_mount_setattr(void) {
    return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, buffer, 32);
}
static long try_unshare_user(void) { return unshare(CLONE_NEWUSER); }
static long try_unshare_net(void) { return unshare(CLONE_NEWNET); }
static long try_unshare_files(void) { return unshare(CLONE_FILES); }
static long try_setns(void) {
    int file = open("/proc/self/ns/net", O_RDONLY);
    return file < 0 ? -1 : setns(file, 0);
}
static long try_clone_user(void) { return with_clone(CLONE_NEWUSER); }
static long try_clone_mount(void) { return with_clone(CLONE_NEWNS); }
static long try_clone_pid(void) { return with_clone(CLONE_NEWPID); }
static long try_clone3(void) { return syscall(SYS_clone3, buffer, 64); }
static long try_trace_init(void) { return ptrace(PTRACE_ATTACH, 1, NULL, NULL); }
static long try_trace_self(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static long try_read_memory(void) {
    struct iovec vector = {buffer, sizeof buffer};
    return process_vm_readv(1, &vector, 1, &vector, 1, 0);
}
static long try_get_descriptor(void) {
    int process = (int)syscall(SYS_pidfd_open, 1, 0);
    return process < 0 ? -1 : syscall(SYS_pidfd_getfd, process, 0, 0);
}
static long try_open_handle(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, 0); }
static long try_make_handle(void) {
    int mount;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, "/", buffer, &mount, 0);
}
static long try_bpf(void) { return syscall(SYS_bpf, 0, buffer, 64); }
static long try_init_module(void) { return syscall(SYS_init_module, buffer, 64, ""); }
static long try_finit_module(void) { return syscall(SYS_finit_module, 0, "", 0); }
static long try_delete_module(void) { return syscall(SYS_delete_module, "x", 0); }
static long try_kexec(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0); }
static long try_reboot(void) { return reboot(RB_DISABLE_CAD); }
static long try_iopl(void) { return iopl(3); }
static long try_swapoff(void) { return swapoff("/tmp/none"); }
static long try_acct(void) { return syscall(SYS_acct, "/tmp/none"); }
static long try_quotactl(void) { return syscall(SYS_quotactl, 0, "/", 0, buffer); }
static long try_char_device(void) { return mknod("/tmp/memory", S_IFCHR | 0666, makedev(1, 1)); }
static long try_block_device(void) { return mknod("/tmp/disk", S_IFBLK | 0666, makedev(8, 0)); }
static long try_dev_device(void) { return mknod("/dev/memory", S_IFCHR | 0666, makedev(1, 1)); }
static long try_fifo(void) { return mknod("/tmp/fifo", S_IFIFO | 0666, 0); }
static long try_type(void) { return ioctl(0, TIOCSTI, "x"); }
static long try_linux_terminal(void) { return ioctl(0, 0x541c, "\2"); }
static long try_keyctl(void) { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0); }
static long try_add_key(void) { return syscall(SYS_add_key, "user", "n", "v", 1, -3); }
static long try_uring(void) { return syscall(SYS_io_uring_setup, 8, buffer); }
static long try_perf(void) { return syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0); }
static long try_userfaultfd(void) { return syscall(SYS_userfaultfd, 0); }
static long try_hostname(void) { return sethostname("x", 1); }
static long try_clock(void) {
    struct timeval now = {0};
    return settimeofday(&now, NULL);
}
static long try_vsock(void) { return socket(40, SOCK_STREAM, 0); }
static long try_packet(void) { return socket(17, SOCK_RAW, 0); }
static long try_alg(void) { return socket(38, SOCK_SEQPACKET, 0); }
static long try_raw(void) { return socket(AF_INET, SOCK_RAW, 1); }
static long try_syslog(void) { return syscall(SYS_syslog, 3, buffer, sizeof buffer); }
static long try_nice(void) {
    errno = 0;
    return nice(-1) == -1 && errno ? -1 : 0;
}
static long try_listener(void) {
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 8, &program);
}
static long try_raise_limit(void) {
    // RLIMIT_NOFILE
    unsigned long limit[2] = {1 << 16, 1 << 16};
    return syscall(SYS_prlimit64, 0, 7, limit, NULL);
}

static const struct test_case cases[] = {
    {"mount", try_mount},
    {"remount", try_remount},
    {"bind", try_bind},
    {"umount", try_umount},
    {"pivot_root", try_pivot_root},
    {"chroot", try_chroot},
    {"open_tree", try_open_tree},
    {"move_mount", try_move_mount},
    {"fsopen", try_fsopen},
    {"mount_setattr", try_mount_setattr},
    {"unshare-user", try_unshare_user},
    {"unshare-net", try_unshare_net},
    {"unshare-files", try_unshare_files},
    {"setns", try_setns},
    {"clone-user", try_clone_user},
    {"clone-mount", try_clone_mount},
    {"clone-pid", try_clone_pid},
    {"clone3", try_clone3},
    {"trace-init", try_trace_init},
    {"trace-self", try_trace_self},
    {"read-memory", try_read_memory},
    {"get-descriptor", try_get_descriptor},
    {"open-handle", try_open_handle},
    {"make-handle", try_make_handle},
    {"bpf", try_bpf},
    {"init_module", try_init_module},
    {"finit_module", try_finit_module},
    {"delete_module", try_delete_module},
    {"kexec", try_kexec},
    {"reboot", try_reboot},
    {"iopl", try_iopl},
    {"swapoff", try_swapoff},
    {"acct", try_acct},
    {"quotactl", try_quotactl},
    {"char-device", try_char_device},
    {"block-device", try_block_device},
    {"dev-device", try_dev_device},
    {"fifo", try_fifo},
    {"type", try_type},
    {"linux-terminal", try_linux_terminal},
    {"keyctl", try_keyctl},
    {"add_key", try_add_key},
    {"io_uring", try_uring},
    {"perf", try_perf},
    {"userfaultfd", try_userfaultfd},
    {"sethostname", try_hostname},
    {"settimeofday", try_clock},
    {"vsock", try_vsock},
    {"packet", try_packet},
    {"alg", try_alg},
    {"raw", try_raw},
    {"syslog", try_syslog},
    {"nice", try_nice},
    {"listener", try_listener},
    {"raise-limit", try_raise_limit},
};

static int call(const char *name) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(cases[i].name, name) == 0) return say(cases[i].perform());
    return 98;
}

static socklen_t address_of(const char *kind, const char *name, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    if (strcmp(kind, "tcp") == 0) {
        struct sockaddr_in *address = (void *)storage;
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)atoi(name));
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *address;
    }
    struct sockaddr_un *address = (void *)storage;
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path + 1, name, sizeof address->sun_path - 2);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int open_socket(const char *kind) {
    return socket(strcmp(kind, "tcp") == 0 ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
}

static int connect_to(const char *kind, const char *name) {
    struct sockaddr_storage address;
    socklen_t size = address_of(kind, name, &address);
    return say(connect(open_socket(kind), (struct sockaddr *)&address, size));
}

static int listen_at(const char *kind, const char *name) {
    struct sockaddr_storage address;
    socklen_t size = address_of(kind, name, &address);
    int listener = open_socket(kind);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 8) != 0)
        return say(-1);
    if (strcmp(kind, "tcp") == 0) {
        size = sizeof address;
        getsockname(listener, (struct sockaddr *)&address, &size);
        printf("at %d.\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
    } else {
        printf("at %s.\n", name);
    }
    fflush(stdout);
    while (read(0, buffer, sizeof buffer) > 0) {}
    return 0;
}

static int await_signal(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    puts("ready");
    fflush(stdout);
    siginfo_t information;
    int number = sigwaitinfo(&all, &information);
    printf("signal %d.\n", number);
    return 0;
}

__attribute__((noreturn)) static int ignore_term(void) {
    signal(SIGTERM, SIG_IGN);
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

static int forks(int count, int ends) {
    signal(SIGTERM, SIG_IGN);
    int made = 0;
    for (; made < count; made++) {
        pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child < 0) break;
        if (child == 0)
            for (;;) pause();
    }
    printf("%d children, then %s\n", made, made == count ? "ok" : strerrorname_np(errno));
    fflush(stdout);
    while (!ends) pause();
    return 0;
}

static int identity(void) {
    uid_t users[3];
    gid_t groups[3];
    getresuid(&users[0], &users[1], &users[2]);
    getresgid(&groups[0], &groups[1], &groups[2]);
    printf("%u %u %u %u %u %u, %d groups\n", users[0], users[1], users[2], groups[0], groups[1],
           groups[2], getgroups(0, NULL));
    return 0;
}

static int descriptors(void) {
    for (int number = 0; number < 4096; number++)
        if (fcntl(number, F_GETFD) >= 0) printf("%d ", number);
    puts("");
    return 0;
}

static int fill(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    long total = 0;
    for (;;) {
        ssize_t count = file < 0 ? -1 : write(file, buffer, sizeof buffer);
        if (count < 0) break;
        total += count;
    }
    printf("%ld %s\n", total, strerrorname_np(errno));
    return 0;
}

static int await_empty(const char *cgroup) {
    snprintf(buffer, sizeof buffer, "%s/cgroup.events", cgroup);
    int file = open(buffer, O_RDONLY | O_CLOEXEC);
    if (file < 0) return say(-1);
    for (;;) {
        ssize_t count = pread(file, buffer, sizeof buffer - 1, 0);
        if (count < 0) return say(-1);
        buffer[count] = 0;
        if (strstr(buffer, "populated 0")) return say(0);
        struct pollfd change = {file, POLLPRI, 0};
        poll(&change, 1, -1);
    }
}

int main(int count, char **words) {
    const char *word = count > 1 ? words[1] : "";
    if (count == 3 && strcmp(word, "call") == 0) return call(words[2]);
    if (count == 4 && strcmp(word, "connect") == 0) return connect_to(words[2], words[3]);
    if (count == 4 && strcmp(word, "listen") == 0) return listen_at(words[2], words[3]);
    if (strcmp(word, "await-signal") == 0) return await_signal();
    if (strcmp(word, "ignore-term") == 0) return ignore_term();
    if (count > 2 && strcmp(word, "forks") == 0) return forks(atoi(words[2]), count > 3);
    if (strcmp(word, "identity") == 0) return identity();
    if (strcmp(word, "descriptors") == 0) return descriptors();
    if (count == 3 && strcmp(word, "fill") == 0) return fill(words[2]);
    if (count == 3 && strcmp(word, "await-empty") == 0) return await_empty(words[2]);
    return 98;
}

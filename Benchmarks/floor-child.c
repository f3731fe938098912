// The part of the floor between clone and exec. It borrows its parent's memory, and errno too:
// raw system calls only, and nothing is allocated.
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;

static inline long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define CALL_(n, a, b, c, d, e, f, ...) \
    call6(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

static _Noreturn void fail(struct slot *slot, const char *step, long error) {
    int report = (int)error;
    slot->failed = step;
    if (slot->pipe[1] >= 0)
        CALL(write, slot->pipe[1], &report, sizeof report);
    else
        fprintf(stderr, "floor: template: %s: %s\n", step, strerror(report));
    for (;;) CALL(exit_group, 127);
}

static inline long check(struct slot *slot, const char *step, long result) {
    if (__builtin_expect(result < 0, 0)) fail(slot, step, -result);
    return result;
}

// Every step is one of these, named for the error message.
#define DO(step, ...) check(slot, step, CALL(__VA_ARGS__))

static void mount_new(struct slot *slot, const char *type, const char *path, unsigned long flags,
                      const char *options) {
    check(slot, path, CALL(mount, type, path, type, flags, options));
}

static void mount_same(struct slot *slot, const char *from, const char *path) {
    check(slot, path, CALL(mount, from, path, NULL, MS_BIND, NULL));
}

// ---- The root ----

static int writable_root(struct slot *slot) {
    int context = (int)DO("open tmpfs", fsopen, "tmpfs", FSOPEN_CLOEXEC);
    DO("limit the layer", fsconfig, context, FSCONFIG_SET_STRING, "size", "64m", 0);
    DO("create the layer", fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    int layer = (int)DO("mount the layer", fsmount, context, FSMOUNT_CLOEXEC, 0);
    DO("make the upper folder", mkdirat, layer, "upper", 0755);
    DO("make the work folder", mkdirat, layer, "work", 0700);
    int upper = (int)DO("open the upper folder", openat, layer, "upper", O_PATH | O_CLOEXEC);
    int work = (int)DO("open the work folder", openat, layer, "work", O_PATH | O_CLOEXEC);
    context = (int)DO("open overlay", fsopen, "overlay", FSOPEN_CLOEXEC);
    DO("set lowerdir", fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", plan.root, 0);
    DO("set upperdir", fsconfig, context, FSCONFIG_SET_FD, "upperdir", 0, upper);
    DO("set workdir", fsconfig, context, FSCONFIG_SET_FD, "workdir", 0, work);
    DO("create overlay", fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    return (int)DO("mount overlay", fsmount, context, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static int read_only_root(struct slot *slot) {
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    int root = (int)DO("clone the root", open_tree, AT_FDCWD, plan.root,
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    DO("make the root read-only", mount_setattr, root, "", AT_EMPTY_PATH, &attributes,
       sizeof attributes);
    return root;
}

static void enter_root(struct slot *slot) {
    struct mount_attr private = {.propagation = MS_PRIVATE};
    DO("make mounts private", mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof private);
    reached(slot, "mounts private");
    int root = plan.writable ? writable_root(slot) : read_only_root(slot);
    DO("attach the root", move_mount, root, "", AT_FDCWD, plan.root, MOVE_MOUNT_F_EMPTY_PATH);
    DO("enter the root", fchdir, root);
    reached(slot, "root made");
    DO("pivot the root", pivot_root, ".", ".");
    reached(slot, "root pivoted");
    DO("detach the old root", umount2, ".", MNT_DETACH);
    reached(slot, "old root detached");
}

// ---- /proc, /dev, /tmp. Relative paths: the working folder is the new root. ----

static void make_proc(struct slot *slot) {
    // MS_RDONLY on the new file system would make all of /proc read-only, whatever is mounted
    // from it: only the mounts of these parts may be.
    struct mount_attr fixed = {.attr_set = MOUNT_ATTR_RDONLY};
    mount_new(slot, "proc", "proc", plain, NULL);
    reached(slot, "/proc mounted");
    for (const char **path = plan.fixed; *path; path++) {
        mount_same(slot, *path, *path);
        check(slot, *path, CALL(mount_setattr, AT_FDCWD, *path, 0, &fixed, sizeof fixed));
    }
    reached(slot, "/proc read-only parts");
}

static void fill_dev(struct slot *slot) {
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                 {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"},
                                           {"pts/ptmx", "dev/ptmx"}};
    CALL(umask, 0);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        check(slot, nodes[i].name, CALL(mknod, nodes[i].name, S_IFCHR | 0666,
                                        makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        check(slot, links[i][1], CALL(symlink, links[i][0], links[i][1]));
    DO("make /dev/shm", mkdir, "dev/shm", 01777);
    DO("make /dev/pts", mkdir, "dev/pts", 0755);
    CALL(umask, 022);
    reached(slot, "/dev filled");
}

static void make_dev(struct slot *slot) {
    mount_new(slot, "tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64m");
    reached(slot, "/dev mounted");
    fill_dev(slot);
}

static void mask_proc(struct slot *slot) {
    for (const char **path = plan.hidden_files; *path; path++) mount_same(slot, "dev/null", *path);
    for (const char **path = plan.hidden_folders; *path; path++) {
        // The template's /dev is read-only and its shm still empty: good enough to hide behind.
        if (plan.prepared)
            mount_same(slot, "dev/shm", *path);
        else if (path != plan.hidden_folders)
            mount_same(slot, plan.hidden_folders[0], *path);
        else
            mount_new(slot, "tmpfs", *path, plain | MS_RDONLY, "mode=0555");
    }
    reached(slot, "/proc masked");
}

static void mount_private_folders(struct slot *slot) {
    mount_new(slot, "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620");
    reached(slot, "/dev/pts mounted");
    mount_new(slot, "tmpfs", "tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=64m");
    reached(slot, "/tmp mounted");
    if (!plan.prepared) return;
    mount_new(slot, "tmpfs", "dev/shm", plain, "mode=1777,size=64m");
    reached(slot, "/dev/shm mounted");
}

// ---- Network, privileges, exec ----

long loopback_up(system_call *call) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    long link = call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);
    if (link < 0) return link;
    long result = call(SYS_ioctl, link, SIOCSIFFLAGS, (long)&request, 0, 0, 0);
    call(SYS_close, link, 0, 0, 0, 0, 0);
    return result;
}

static void join_network(struct slot *slot) {
    if (plan.pooled_net)
        DO("join the network", setns, slot->network, CLONE_NEWNET);
    else
        check(slot, "bring up the loopback", loopback_up(call6));
    reached(slot, "network");
}

static void drop_privileges(struct slot *slot) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    struct rlimit core = {0, 0};
    DO("start a session", setsid);
    DO("limit open files", prlimit64, 0, RLIMIT_NOFILE, &plan.files, NULL);
    DO("limit core dumps", prlimit64, 0, RLIMIT_CORE, &core, NULL);
    DO("close descriptors on exec", close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (plan.init) DO("keep the report", fcntl, slot->pipe[1], F_SETFD, 0);
    reached(slot, "session, limits, descriptors");
    DO("drop groups", setgroups, 0, NULL);
    if (!plan.prepared)
        for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
            DO("drop a capability", prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
    reached(slot, "bounding set dropped");
    DO("set the group", setresgid, 0, 0, 0);
    DO("set the user", setresuid, 0, 0, 0);
    DO("clear ambient", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    DO("drop capabilities", capset, &header, none);
    DO("set no_new_privs", prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    reached(slot, "privileges dropped");
}

static void run_init(struct slot *slot, char **environment) {
    static char *dash = "-", *detached = "d";
    char report[12], *digits = report + sizeof report, *arguments[64];
    size_t n = 0;
    *--digits = 0;
    for (int fd = slot->pipe[1]; fd; fd /= 10) *--digits = (char)('0' + fd % 10);
    arguments[n++] = (char *)plan.init;
    arguments[n++] = digits;
    arguments[n++] = dash;
    arguments[n++] = detached;
    arguments[n++] = plan.command[0];
    for (char **word = plan.command; *word; word++) {
        if (n == 63) fail(slot, "hand the arguments to init", E2BIG);
        arguments[n++] = *word;
    }
    arguments[n] = NULL;
    DO("exec init", execveat, plan.init_fd, "", arguments, environment, AT_EMPTY_PATH);
}

_Noreturn void child(struct slot *slot) {
    static char *environment[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", NULL};
    reached(slot, "cloned");
    DO("enter a cgroup namespace", unshare, CLONE_NEWCGROUP);
    reached(slot, "cgroup namespace");
    if (!plan.prepared) enter_root(slot);
    make_proc(slot);
    if (!plan.prepared) make_dev(slot);
    mask_proc(slot);
    mount_private_folders(slot);
    DO("set the host name", sethostname, "sandbox", 7);
    join_network(slot);
    drop_privileges(slot);
    DO("load the filter", seccomp, SECCOMP_SET_MODE_FILTER, 0, &plan.filter);
    reached(slot, "filter loaded");
    if (plan.init) run_init(slot, environment);
    DO("exec", execve, plan.command[0], plan.command, environment);
    __builtin_unreachable();
}

void become_template(void) {
    struct slot self = {.pipe = {-1, -1}}, *slot = &self;
    DO("leave the mounts", unshare, CLONE_NEWNS);
    enter_root(slot);
    make_dev(slot);
    DO("make /dev read-only", mount, NULL, "dev", NULL,
       MS_NOSUID | MS_NOEXEC | MS_RDONLY | MS_REMOUNT | MS_BIND, NULL);
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        DO("drop a capability", prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
}

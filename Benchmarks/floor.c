// The floor that Alcove is measured against: the steps of its process sandbox, as directly as C
// can take them. It shares no code with Alcove, so that it stays an independent yardstick.
//
//     cc -O2 -static -Wall -Wextra -Werror -o floor floor.c floor-child.c -lseccomp
//
// `floor -n 1 ROOTFS COMMAND` is a one-shot command; with a larger -n it is a resident loop that
// prints how long a sandbox takes from the request until its first process is reaped. Each sandbox
// gets everything new. --pooled-net takes network namespaces made ahead; --prepared keeps ahead
// whatever does not differ between sandboxes (root, /dev, bounding set): the limit of this kernel.
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

struct plan plan = {.runs = 1, .in_flight = 1, .init_fd = -1};

static volatile sig_atomic_t interrupted;

static _Noreturn void die(const char *format, ...) {
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(125);
}

static void on_signal(int number) { interrupted = number; }

static long clone_onto(struct clone_args *arguments, struct slot *slot) {
    register struct slot *r12 __asm__("r12") = slot;
    register void (*r13)(struct slot *) __asm__("r13") = (void (*)(struct slot *))child;
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r12, %%rdi\n\t"
                     "call *%%r13\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "0"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(r12), "r"(r13)
                     : "rcx", "r11", "memory");
    return result;
}

static int abandon(struct slot *slot, const char *step, int error) {
    fprintf(stderr, "floor: %s: %s\n", step, strerror(error));
    if (slot->cgroup >= 0) close(slot->cgroup);
    if (slot->pipe[0] >= 0) close(slot->pipe[0]);
    if (slot->pipe[1] >= 0) close(slot->pipe[1]);
    unlinkat(plan.cgroup_fd, slot->name, AT_REMOVEDIR);
    return -1;
}

static int start(struct slot *slot, int number) {
    *slot = (struct slot){
        .number = number, .stack = slot->stack, .pidfd = -1, .cgroup = -1, .pipe = {-1, -1}};
    slot->requested = now();
    snprintf(slot->name, sizeof slot->name, "%d.%d", getpid(), number);
    if (plan.pooled_net) slot->network = plan.networks[number];
    if (mkdirat(plan.cgroup_fd, slot->name, 0755)) return abandon(slot, "make the cgroup", errno);
    slot->cgroup = openat(plan.cgroup_fd, slot->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (slot->cgroup < 0) return abandon(slot, "open the cgroup", errno);
    if (pipe2(slot->pipe, O_CLOEXEC | O_NONBLOCK)) return abandon(slot, "make a pipe", errno);
    struct clone_args arguments = {
        .flags = CLONE_VM | CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND | CLONE_NEWNS |
                 CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
        .pidfd = (uintptr_t)&slot->pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)slot->stack,
        .stack_size = STACK_SIZE,
        .cgroup = (uint64_t)slot->cgroup,
    };
    if (!plan.pooled_net) arguments.flags |= CLONE_NEWNET;
    // Alone, waiting for the exec in the kernel is cheaper; with others in flight it would make
    // them wait too.
    if (plan.in_flight == 1) arguments.flags |= CLONE_VFORK;
    reached(slot, "cgroup and pipe");
    long pid = clone_onto(&arguments, slot);
    if (pid < 0) return abandon(slot, "clone", (int)-pid);
    close(slot->pipe[1]);
    close(slot->cgroup);
    return 0;
}

// Reaps the sandbox and removes its cgroup. Gives an exit status in the shell's manner.
static int finish(struct slot *slot) {
    siginfo_t info = {0};
    while (waitid(P_PIDFD, (id_t)slot->pidfd, &info, WEXITED))
        if (errno != EINTR) die("wait for the sandbox");
    slot->reaped = now();
    int error = 0;
    if (slot->failed && read(slot->pipe[0], &error, sizeof error) == sizeof error) {
        errno = error;
        fprintf(stderr, "floor: %s: %s\n", slot->failed, strerror(error));
    }
    close(slot->pipe[0]);
    close(slot->pidfd);
    if (plan.pooled_net) close(slot->network);
    while (unlinkat(plan.cgroup_fd, slot->name, AT_REMOVEDIR))
        if (errno != EBUSY || sched_yield()) die("remove the cgroup");
    slot->gone = now();
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int run_all(struct slot *done) {
    struct pollfd waiting[IN_FLIGHT_MAX];
    struct slot slots[IN_FLIGHT_MAX] = {0};
    int started = 0, busy = 0, status = 0;
    for (int i = 0; i < plan.in_flight; i++) {
        slots[i].stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (slots[i].stack == MAP_FAILED) die("map a stack");
        waiting[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    bool ending = false;
    while (busy > 0 || (started < plan.runs && !ending)) {
        for (int i = 0; i < plan.in_flight && started < plan.runs && !ending; i++) {
            if (waiting[i].fd >= 0) continue;
            if (start(&slots[i], started++)) {
                ending = true, status = 125;
                break;
            }
            waiting[i].fd = slots[i].pidfd;
            busy++;
        }
        if (poll(waiting, (nfds_t)plan.in_flight, -1) < 0 && errno != EINTR) die("wait");
        if (interrupted && !ending) {
            for (int i = 0; i < plan.in_flight; i++)
                if (waiting[i].fd >= 0)
                    syscall(SYS_pidfd_send_signal, waiting[i].fd, SIGKILL, NULL, 0);
            ending = true;
        }
        for (int i = 0; i < plan.in_flight; i++) {
            if (waiting[i].fd < 0 || !waiting[i].revents) continue;
            int result = finish(&slots[i]);
            if (result) status = result;
            if (slots[i].failed) ending = true;
            done[slots[i].number] = slots[i];
            waiting[i] = (struct pollfd){.fd = -1, .events = POLLIN};
            busy--;
        }
    }
    if (interrupted) status = 128 + interrupted;
    return status;
}

// ---- What is prepared once ----

static bool refused(const char *name) {
    // What the container default profile keeps from a workload without capabilities, and the
    // calls that make namespaces and mounts.
    static const char list[] =
        " acct add_key bpf chroot clock_adjtime clock_settime clone3 create_module delete_module"
        " fanotify_init finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module"
        " io_uring_enter io_uring_register io_uring_setup ioperm iopl kexec_file_load kexec_load"
        " keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages"
        " nfsservctl open_by_handle_at open_tree perf_event_open personality pivot_root"
        " process_madvise quotactl quotactl_fd query_module reboot request_key set_mempolicy setns"
        " setdomainname sethostname settimeofday swapoff swapon _sysctl sysfs syslog umount2"
        " unshare uselib userfaultfd ustat vhangup clone socket ";
    char word[64];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(list, word) != NULL;
}

static void compile_filter(int output) {
    const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
    const uint64_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int error = context ? 0 : -ENOMEM;
    if (!error) error = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (int number = 0; number < 470 && !error; number++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        if (name && !refused(name)) error = seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0);
        free(name);
    }
    for (size_t i = 0; i < sizeof personalities / sizeof *personalities && !error; i++)
        error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                                 SCMP_A0(SCMP_CMP_EQ, personalities[i], 0));
    if (!error) error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                         SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
    if (!error) error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                         SCMP_A0(SCMP_CMP_NE, AF_VSOCK, 0));
    if (!error) error = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!error) error = seccomp_export_bpf(context, output);
    errno = -error;
    if (error) die("compile the filter");
    seccomp_release(context);
}

static void load_filter(const char *path) {
    struct stat file;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : memfd_create("filter", MFD_CLOEXEC);
    if (fd >= 0 && !path) compile_filter(fd);
    if (fd < 0 || fstat(fd, &file)) die("open the filter");
    size_t size = (size_t)file.st_size, count = size / sizeof(struct sock_filter);
    errno = EINVAL;
    if (!count || count > BPF_MAXINSNS || size % sizeof(struct sock_filter)) die("read the filter");
    plan.filter.len = (unsigned short)count;
    plan.filter.filter = malloc(size);
    if (!plan.filter.filter || pread(fd, plan.filter.filter, size, 0) != (ssize_t)size)
        die("read the filter");
    close(fd);
}

static void find_masks(void) {
    static const char *const hidden[] = {
        "proc/acpi", "proc/allocinfo", "proc/asound", "proc/dynamic_debug", "proc/interrupts",
        "proc/kcore", "proc/key-users", "proc/keys", "proc/kmsg", "proc/kpagecgroup",
        "proc/kpagecount", "proc/kpageflags", "proc/latency_stats", "proc/lock_stat", "proc/mtrr",
        "proc/pagetypeinfo", "proc/pressure", "proc/profile", "proc/sched_debug", "proc/scsi",
        "proc/slabinfo", "proc/sysrq-trigger", "proc/timer_list", "proc/timer_stats",
        "proc/vmallocinfo", NULL};
    static const char *const fixed[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", NULL};
    struct stat entry;
    char path[64];
    size_t files = 0, folders = 0, kept = 0;
    for (const char *const *name = hidden; *name; name++) {
        snprintf(path, sizeof path, "/%s", *name);
        if (lstat(path, &entry)) continue;
        if (S_ISDIR(entry.st_mode)) plan.hidden_folders[folders++] = *name;
        else plan.hidden_files[files++] = *name;
    }
    for (const char *const *name = fixed; *name; name++) {
        snprintf(path, sizeof path, "/%s", *name);
        if (!lstat(path, &entry)) plan.fixed[kept++] = *name;
    }
}

// Opens the folder that the own cgroup goes into. Apart from making it, because a template no
// longer sees the path, and because nothing may be left behind when a template cannot be made.
static int open_cgroup_parent(void) {
    struct statfs kind;
    if (!plan.cgroup) {
        if (statfs("/sys/fs/cgroup", &kind)) die("find the cgroups");
        plan.cgroup = kind.f_type == CGROUP2_SUPER_MAGIC ? "/sys/fs/cgroup/floor"
                                                         : "/sys/fs/cgroup/unified/floor";
    }
    char *copy = strdup(plan.cgroup), *slash = copy ? strrchr(copy, '/') : NULL;
    errno = EINVAL;
    if (!slash || slash == copy || !slash[1]) die("use `%s` as a cgroup", plan.cgroup);
    *slash = 0;
    plan.cgroup = slash + 1;
    int parent = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) die("open `%s`", copy);
    return parent;
}

// Gives whether the cgroup is new, and so to be removed at the end.
static bool make_cgroup(int parent) {
    bool made = !mkdirat(parent, plan.cgroup, 0755);
    if (!made && errno != EEXIST) die("make the cgroup `%s`", plan.cgroup);
    plan.cgroup_fd = openat(parent, plan.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (plan.cgroup_fd < 0) die("open the cgroup `%s`", plan.cgroup);
    return made;
}

static long through_errno(long n, long a, long b, long c, long d, long e, long f) {
    return syscall(n, a, b, c, d, e, f);
}

static void prepare_networks(void) {
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    plan.networks = calloc((size_t)plan.runs, sizeof *plan.networks);
    if (own < 0 || !plan.networks) die("prepare networks");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) die("read the limit of open files");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files)) die("raise the limit of open files");
    for (int i = 0; i < plan.runs; i++) {
        if (unshare(CLONE_NEWNET) || loopback_up(through_errno) < 0) die("make a network");
        plan.networks[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (plan.networks[i] < 0) die("open a network (a smaller -n needs fewer descriptors)");
    }
    if (setns(own, CLONE_NEWNET)) die("return to the own network");
    close(own);
}

// ---- What is printed ----

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double us(uint64_t from, uint64_t to) { return (double)(to - from) / 1000.0; }

static void print_stages(const struct slot *done, int count) {
    double *times = calloc((size_t)count, sizeof *times);
    if (!times) die("print the stages");
    for (int step = 0; step < done[0].steps; step++) {
        for (int i = 0; i < count; i++)
            times[i] = us(step ? done[i].at[step - 1] : done[i].requested, done[i].at[step]);
        qsort(times, (size_t)count, sizeof *times, ascending);
        printf("  %8.1f us  %s\n", times[count / 2], done[0].step[step]);
    }
    for (int i = 0; i < count; i++)
        times[i] = us(done[i].at[done[i].steps - 1], done[i].reaped);
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("  %8.1f us  exec, run, exit, reaped\n", times[count / 2]);
    for (int i = 0; i < count; i++) times[i] = us(done[i].reaped, done[i].gone);
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("  %8.1f us  cgroup removed (after the measured part)\n", times[count / 2]);
    free(times);
}

static void print_results(const struct slot *done, int count, uint64_t elapsed) {
    double *times = calloc((size_t)count, sizeof *times), total = 0;
    if (!times) die("print the results");
    for (int i = 0; i < count; i++) {
        total += times[i] = us(done[i].requested, done[i].reaped);
        if (plan.json)
            printf("{\"sample\":%d,\"microseconds\":%.1f,\"gone_microseconds\":%.1f}\n", i,
                   times[i], us(done[i].requested, done[i].gone));
    }
    qsort(times, (size_t)count, sizeof *times, ascending);
    double rate = count * 1e9 / (double)elapsed, p99 = times[(count * 99 - 1) / 100];
    printf(plan.json ? "{\"summary\":{\"n\":%d,\"in_flight\":%d,\"min\":%.1f,\"median\":%.1f,"
                       "\"p99\":%.1f,\"mean\":%.1f,\"per_second\":%.1f,\"unit\":\"us\"}}\n"
                     : "n %d, in flight %d: min %.1f us, median %.1f us, p99 %.1f us, "
                       "mean %.1f us, %.1f per second\n",
           count, plan.in_flight, times[0], times[count / 2], p99, total / count, rate);
    if (plan.stages) print_stages(done, count);
    free(times);
}

static int usage(void) {
    fputs("usage: floor [-n RUNS] [-c IN_FLIGHT] [--pooled-net] [--filter FILE] [--init PATH]\n"
          "             [--json] [--stages] [--cgroup DIR] [--writable | --prepared]\n"
          "             ROOTFS COMMAND [ARG...]\n",
          stderr);
    return 64;
}

static int bounded(const char *text, int most) {
    char *end;
    long value = strtol(text, &end, 10);
    return *end || end == text || value < 1 || value > most ? 0 : (int)value;
}

static bool parse(int count, char **words, const char **filter) {
    static const struct option options[] = {
        {"pooled-net", no_argument, NULL, 'p'},    {"filter", required_argument, NULL, 'f'},
        {"init", required_argument, NULL, 'i'},    {"json", no_argument, NULL, 'j'},
        {"cgroup", required_argument, NULL, 'g'},  {"writable", no_argument, NULL, 'w'},
        {"stages", no_argument, NULL, 's'},        {"prepared", no_argument, NULL, 'P'},
        {0}};
    for (int option; (option = getopt_long(count, words, "+n:c:", options, NULL)) != -1;) {
        switch (option) {
        case 'n': plan.runs = bounded(optarg, RUNS_MAX); break;
        case 'c': plan.in_flight = bounded(optarg, IN_FLIGHT_MAX); break;
        case 'p': plan.pooled_net = true; break;
        case 'f': *filter = optarg; break;
        case 'i': plan.init = optarg; break;
        case 'j': plan.json = true; break;
        case 'g': plan.cgroup = optarg; break;
        case 'w': plan.writable = true; break;
        case 'P': plan.prepared = true; break;
        case 's': plan.stages = true; break;
        default: return false;
        }
    }
    if (count - optind < 2 || !plan.runs || !plan.in_flight) return false;
    if (plan.writable && plan.prepared) return false;
    plan.root = words[optind];
    plan.command = words + optind + 1;
    return true;
}

int main(int count, char **words) {
    const char *filter = NULL;
    if (!parse(count, words, &filter)) return usage();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    load_filter(filter);
    find_masks();
    if (getrlimit(RLIMIT_NOFILE, &plan.files)) die("read the limit of open files");
    if (plan.files.rlim_max > 4096) plan.files.rlim_max = 4096;
    plan.files.rlim_cur = plan.files.rlim_max < 1024 ? plan.files.rlim_max : 1024;
    if (plan.init && (plan.init_fd = open(plan.init, O_PATH | O_CLOEXEC)) < 0)
        die("open `%s`", plan.init);
    if (plan.pooled_net) prepare_networks();
    struct slot *done = calloc((size_t)plan.runs, sizeof *done);
    if (!done) die("remember the results");
    int cgroup_parent = open_cgroup_parent();
    if (plan.prepared) become_template();
    bool made = make_cgroup(cgroup_parent);
    uint64_t began = now();
    int status = run_all(done), finished = 0;
    uint64_t elapsed = now() - began;
    if (made && unlinkat(cgroup_parent, plan.cgroup, AT_REMOVEDIR)) die("remove the cgroup");
    while (finished < plan.runs && done[finished].reaped) finished++;
    if (finished && (plan.runs > 1 || plan.json || plan.stages))
        print_results(done, finished, elapsed);
    return status;
}

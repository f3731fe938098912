// What alcove-init does to set up a guest, and to its machine. Compiled against musl's headers.
#define _GNU_SOURCE
#include "CInit.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CINIT_EEXIST == EEXIST, "errno");
_Static_assert(CINIT_MOUNT_READ_ONLY == MS_RDONLY && CINIT_MOUNT_NO_SET_ID == MS_NOSUID, "mount");
_Static_assert(CINIT_MOUNT_NO_DEVICES == MS_NODEV && CINIT_MOUNT_NO_EXECUTION == MS_NOEXEC, "");
_Static_assert(CINIT_MOUNT_REMOUNT == MS_REMOUNT, "mount");
_Static_assert(CINIT_MOUNT_BIND == MS_BIND && CINIT_MOUNT_MOVE == MS_MOVE, "mount");

static char texts[CINIT_TEXTS][CINIT_TEXT];

char *cinit_text_room(int number) { return texts[number]; }

int cinit_mount(const char *source, const char *target, const char *type, unsigned long flags,
                const char *options) {
    return raw(SYS_mount, (long)source, (long)target, (long)type, (long)flags, (long)options);
}

int cinit_make_directory(const char *path, unsigned mode) {
    return raw(SYS_mkdirat, AT_FDCWD, (long)path, mode, 0, 0);
}

int cinit_make_link(const char *target, const char *path) {
    return raw(SYS_symlinkat, (long)target, AT_FDCWD, (long)path, 0, 0);
}

int cinit_remove(const char *path) { return raw(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0); }

// This is the first process of a guest, and no host's.
static bool has_root;

int cinit_enter_root(const char *path) {
    long failed = raw(SYS_chdir, (long)path, 0, 0, 0, 0);
    if (failed == 0) failed = raw(SYS_mount, (long)".", (long)"/", 0, MS_MOVE, 0);
    if (failed == 0) failed = raw(SYS_chroot, (long)".", 0, 0, 0, 0);
    has_root = failed == 0;
    return failed;
}

void cinit_set_creation_mask(unsigned mask) { raw(SYS_umask, mask, 0, 0, 0, 0); }

static int open_control(void) {
    return raw(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0);
}

int cinit_raise_loopback(void) {
    int control = open_control();
    if (control < 0) return control;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int failed = raw(SYS_ioctl, control, SIOCSIFFLAGS, (long)&request, 0, 0);
    cinit_close(control);
    return failed;
}

int cinit_mark(uint16_t port) {
#if defined(__x86_64__)
    long failed = raw(SYS_iopl, 3, 0, 0, 0, 0);
    if (failed) return failed;
    __asm__ volatile("outb %b0, %w1" : : "a"(1), "Nd"(port));
    // What is started from here on has not that right.
    return raw(SYS_iopl, 0, 0, 0, 0, 0);
#else
    (void)port;
    return -ENOSYS;
#endif
}

static int open_file(const char *path, int flags, unsigned mode) {
    return raw(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, mode, 0);
}

int cinit_log(const char *line, size_t size) {
    int log = open_file("/dev/kmsg", O_WRONLY, 0);
    if (log < 0) return log;
    int written = cinit_write(log, line, size);
    cinit_close(log);
    return written;
}

void cinit_restart(void) {
    raw(SYS_sync, 0, 0, 0, 0, 0);
    raw(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0, 0);
}

int cinit_set_clock(uint64_t nanoseconds) {
    struct timespec now = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    return raw(SYS_clock_settime, CLOCK_REALTIME, (long)&now, 0, 0, 0);
}

// In a file below an open directory.
static int write_below(int directory, const char *name, const char *text, size_t size) {
    int file = raw(SYS_openat, directory, (long)name, O_WRONLY | O_CLOEXEC, 0, 0);
    if (file < 0) return file;
    int written = cinit_write(file, text, size);
    cinit_close(file);
    return written < 0 ? written : 0;
}

// The kernel's numbers: musl's headers are older.
enum { CREATE_FILE_SYSTEM = 6, CLOSED_ON_EXECUTION = 1 };

static int mount_groups(void) {
    int context = raw(SYS_fsopen, (long)"cgroup2", CLOSED_ON_EXECUTION, 0, 0, 0);
    if (context < 0) return context;
    int root = raw(SYS_fsconfig, context, CREATE_FILE_SYSTEM, 0, 0, 0);
    if (root == 0) root = raw(SYS_fsmount, context, CLOSED_ON_EXECUTION, 0, 0, 0);
    cinit_close(context);
    return root;
}

static int make_group(void) {
    static const char name[] = "workload", wanted[] = "+pids";
    int root = mount_groups();
    if (root < 0) return root;
    int failed = write_below(root, "cgroup.subtree_control", wanted, sizeof wanted - 1);
    if (!failed) failed = raw(SYS_mkdirat, root, (long)name, 0755, 0, 0);
    int group =
        failed ? failed : raw(SYS_openat, root, (long)name, O_DIRECTORY | O_CLOEXEC, 0, 0);
    cinit_close(root);
    return group;
}

int cinit_limit_processes(uint32_t most) {
    static int group = -1;
    if (!has_root) return -EPERM;
    if (group < 0) {
        int made = make_group();
        if (made < 0) return made;
        int processes = raw(SYS_openat, made, (long)"cgroup.procs", O_WRONLY | O_CLOEXEC, 0, 0);
        if (processes < 0) return processes;
        group = made;
        cinit_join_when_spawned(processes);
    }
    char digits[10];
    size_t place = sizeof digits;
    do digits[--place] = (char)('0' + most % 10);
    while (most /= 10);
    return write_below(group, "pids.max", digits + place, sizeof digits - place);
}

int cinit_reseed(const void *bytes, size_t count) {
    // As `struct rand_pool_info`, whose last field is of no size.
    struct {
        int entropy_count;
        int buf_size;
        unsigned char bytes[CINIT_SMALL];
    } pool;
    if (count > sizeof pool.bytes) return -EINVAL;
    pool.entropy_count = (int)count * 8;
    pool.buf_size = (int)count;
    __builtin_memcpy(pool.bytes, bytes, count);
    int generator = open_file("/dev/urandom", O_WRONLY, 0);
    if (generator < 0) return generator;
    long failed = raw(SYS_ioctl, generator, RNDADDENTROPY, (long)&pool, 0, 0);
    if (failed == 0) failed = raw(SYS_ioctl, generator, RNDRESEEDCRNG, 0, 0, 0);
    cinit_close(generator);
    return failed;
}

int cinit_set_host_name(const void *bytes, size_t count) {
    return raw(SYS_sethostname, (long)bytes, (long)count, 0, 0, 0);
}

static struct sockaddr inet(const uint8_t *address) {
    struct sockaddr_in inet = {.sin_family = AF_INET};
    __builtin_memcpy(&inet.sin_addr, address, sizeof inet.sin_addr);
    struct sockaddr general;
    __builtin_memcpy(&general, &inet, sizeof general);
    return general;
}

int cinit_set_network(const struct cinit_network *network) {
    int control = open_control();
    if (control < 0) return control;
    static const uint8_t any[4];
    uint32_t bits = network->prefix ? ~0u << (32 - network->prefix) : 0;
    uint8_t mask[4] = {(uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8),
                       (uint8_t)bits};
    struct ifreq link = {.ifr_name = "eth0"};
    long failed = 0;
    if (network->mtu) {
        link.ifr_mtu = network->mtu;
        failed = raw(SYS_ioctl, control, SIOCSIFMTU, (long)&link, 0, 0);
    }
    link.ifr_addr = inet(network->address);
    if (!failed) failed = raw(SYS_ioctl, control, SIOCSIFADDR, (long)&link, 0, 0);
    link.ifr_netmask = inet(mask);
    if (!failed) failed = raw(SYS_ioctl, control, SIOCSIFNETMASK, (long)&link, 0, 0);
    link.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!failed) failed = raw(SYS_ioctl, control, SIOCSIFFLAGS, (long)&link, 0, 0);
    if (!failed && __builtin_memcmp(network->gateway, any, sizeof any) != 0) {
        struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY,
                                .rt_dst = inet(any),
                                .rt_genmask = inet(any),
                                .rt_gateway = inet(network->gateway)};
        failed = raw(SYS_ioctl, control, SIOCADDRT, (long)&route, 0, 0);
    }
    cinit_close(control);
    return failed;
}

static int write_file(const char *path, const void *text, size_t size) {
    // Whatever an image has there, opening it neither follows a link nor waits.
    int file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (file < 0) return file;
    int written = cinit_write(file, text, size);
    cinit_close(file);
    return written < 0 ? written : 0;
}

int cinit_set_resolver(const void *text, size_t size) {
    static const char path[] = "/etc/resolv.conf", place[] = "/dev/.resolv.conf";
    int failed = write_file(path, text, size);
    if (failed == -ELOOP && cinit_remove(path) == 0) failed = write_file(path, text, size);
    if (!failed) return 0;
    // A file of /dev, which is in memory, lies over that of the image; its first name is not
    // needed for it.
    failed = write_file(place, text, size);
    if (!failed) failed = cinit_mount(place, path, 0, MS_BIND, 0);
    cinit_remove(place);
    return failed;
}

/// The beginning of a file, ended by zero, in the buffer for frames.
static const char *read_text(const char *path) {
    char *text = (char *)cinit_frame();
    size_t room = CINIT_FRAME_LARGEST, count = 0;
    int file = open_file(path, O_RDONLY, 0);
    if (file < 0) return 0;
    long taken;
    while (count < room && (taken = cinit_read(file, text + count, room - count)) > 0)
        count += (size_t)taken;
    cinit_close(file);
    text[count] = 0;
    return text;
}

/// The number at the place, or behind the blanks there.
static uint64_t number(const char **text) {
    while (**text == ' ') ++*text;
    uint64_t value = 0;
    for (; **text >= '0' && **text <= '9'; ++*text) value = value * 10 + (uint64_t)(**text - '0');
    return value;
}

/// The number behind a word at the beginning of a line, or 0.
static uint64_t find(const char *text, const char *word, size_t size) {
    while (text && *text) {
        if (__builtin_strncmp(text, word, size) == 0) {
            text += size;
            return number(&text);
        }
        while (*text && *text != '\n') text++;
        if (*text) text++;
    }
    return 0;
}

#define FIND(text, word) find(text, word, sizeof word - 1)

uint64_t cinit_thread_count(void) {
    struct sysinfo machine = {0};
    raw(SYS_sysinfo, (long)&machine, 0, 0, 0, 0);
    return machine.procs;
}

void cinit_look_at_machine(struct cinit_machine *machine) {
    const char *text = read_text("/proc/meminfo");
    machine->memory_total_bytes = FIND(text, "MemTotal:") * 1024;
    machine->memory_available_bytes = FIND(text, "MemAvailable:") * 1024;
    text = read_text("/proc/stat");
    uint64_t ticks = 0;
    if (text && text[0] == 'c') {
        text += sizeof "cpu" - 1;
        // User, nice, system; idle and waiting, which do not count; interrupts, soft ones.
        for (int place = 0; place < 7; place++) {
            uint64_t value = number(&text);
            if (place != 3 && place != 4) ticks += value;
        }
    }
    machine->cpu_nanoseconds = ticks * 10000000u;
    machine->threads = cinit_thread_count();
}

uint64_t cinit_out_of_memory_kills(void) { return FIND(read_text("/proc/vmstat"), "oom_kill "); }

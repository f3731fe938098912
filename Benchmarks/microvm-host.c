// Runs a monitor and says how it went, on the host's side of a benchmark of microVMs.
//
//   microvm-host ready vsock COMMAND...     until alcove-init has connected to the host's vsock
//   microvm-host ready timeline COMMAND...  until a monitor says so in its timeline
//   microvm-host devices PATH COMMAND...    serves Benchmarks/microvm-guest.c, on vsock, TCP and
//                                           the Unix sockets PATH_PORT, until the monitor ends
//   microvm-host tap NAME                   makes a TAP that stays
//
// `ready` prints the microseconds from before the process was made; then the monitor is killed.
// What the monitor says is passed on to standard error.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "microvm-ports.h"

enum { LINK_PORT = 1024, PATIENCE_SECONDS = 120 };

static void fail(const char *what) {
    fprintf(stderr, "microvm-host: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// Both of its outputs go to the descriptor.
static pid_t start(char **command, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (output >= 0) {
        posix_spawn_file_actions_adddup2(&actions, output, 1);
        posix_spawn_file_actions_adddup2(&actions, output, 2);
    }
    pid_t pid;
    errno = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (errno) fail(command[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int listen_vsock(unsigned int port) {
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 4)) {
        fail("vsock");
    }
    return listener;
}

static int listen_unix(const char *path, unsigned int port) {
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s_%u", path, port);
    unlink(address.sun_path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 4)) {
        fail(address.sun_path);
    }
    return listener;
}

static int listen_network(unsigned int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted connections have it from here.
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 4)) {
        fail("TCP");
    }
    return listener;
}

// ---- Until the guest is ready ----

static int64_t ready_by_vsock(char **command, pid_t *pid, int64_t *began) {
    int listener = listen_vsock(LINK_PORT);
    *began = microseconds();
    *pid = start(command, 2);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    char byte;
    if (poll(&wait, 1, PATIENCE_SECONDS * 1000) != 1) return 0;
    int link = accept(listener, NULL, NULL);
    return link >= 0 && recv(link, &byte, 1, 0) == 1 ? microseconds() : 0;
}

static int64_t ready_by_timeline(char **command, pid_t *pid, int64_t *began) {
    int ends[2];
    if (pipe(ends)) fail("pipe");
    *began = microseconds();
    *pid = start(command, ends[1]);
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    char line[4096];
    while (fgets(line, sizeof line, output)) {
        fputs(line, stderr);
        char *first = strstr(line, "timeline: began "), *ready = strstr(line, ", guest ready ");
        if (first && ready) {
            return strtoll(first + strlen("timeline: began "), NULL, 10) +
                   strtoll(ready + strlen(", guest ready "), NULL, 10);
        }
    }
    return 0;
}

static int ready(const char *way, char **command) {
    pid_t pid;
    int64_t began, ended;
    ended = (strcmp(way, "vsock") == 0 ? ready_by_vsock : ready_by_timeline)(command, &pid, &began);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!ended) {
        fprintf(stderr, "microvm-host: the guest was never ready\n");
        return 1;
    }
    printf("%lld\n", (long long)(ended - began));
    return 0;
}

// ---- What guests connect to ----

struct service {
    int listener;
    unsigned int port;
};

static void serve_connection(int connection, unsigned int port) {
    static __thread char buffer[CHUNK];
    ssize_t count;
    switch (port) {
    case PORT_ECHO:
        while ((count = recv(connection, buffer, 1, 0)) == 1) send(connection, buffer, 1, 0);
        break;
    case PORT_SINK: {
        size_t total = 0;
        while (total < STREAM_BYTES && (count = recv(connection, buffer, CHUNK, 0)) > 0) {
            total += (size_t)count;
        }
        send(connection, buffer, 1, 0);
        break;
    }
    default:
        for (size_t total = 0; total < STREAM_BYTES; total += CHUNK) {
            if (send(connection, buffer, CHUNK, MSG_NOSIGNAL) != CHUNK) break;
        }
        recv(connection, buffer, 1, 0);
    }
    close(connection);
}

static void *serve(void *argument) {
    struct service *service = argument;
    for (;;) {
        int connection = accept(service->listener, NULL, NULL);
        if (connection >= 0) serve_connection(connection, service->port);
    }
    return NULL;
}

static int devices(const char *path, char **command) {
    static const unsigned int ports[] = {PORT_ECHO, PORT_SINK, PORT_SOURCE};
    static struct service services[9];
    for (int index = 0; index < 9; index++) {
        unsigned int port = ports[index / 3];
        pthread_t thread;
        services[index].port = port;
        services[index].listener = index % 3 == 0   ? listen_unix(path, port)
                                   : index % 3 == 1 ? listen_vsock(port)
                                                    : listen_network(port);
        if (pthread_create(&thread, NULL, serve, &services[index])) fail("pthread_create");
    }
    int status;
    if (waitpid(start(command, -1), &status, 0) < 0) fail("waitpid");
    return 0;
}

// ---- TAPs ----

static int make_tap(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) || ioctl(tap, TUNSETPERSIST, 1)) fail(name);
    return 0;
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (count > 3 && strcmp(words[1], "ready") == 0) return ready(words[2], words + 3);
    if (count > 3 && strcmp(words[1], "devices") == 0) return devices(words[2], words + 3);
    if (count == 3 && strcmp(words[1], "tap") == 0) return make_tap(words[2]);
    fprintf(stderr, "usage: microvm-host ready vsock|timeline COMMAND...\n"
                    "       microvm-host devices PATH COMMAND...\n"
                    "       microvm-host tap NAME\n");
    return 64;
}

internal import Console

extension ConfigurationKey {
    /// Every key there is, in the order of the documentation. The file is read by this table, and
    /// help and documentation are made of it.
    public static let all: [ConfigurationKey] =
        node + sockets + directories + sandboxes + networks + capacity + watching

    private static let node: [ConfigurationKey] = [
        key(
            "node.name", \.nodeName,
            .text("a name", example: "node-7") { (text) throws(FlagError) in
                guard text.isEmpty || isName(text, most: 253) else {
                    throw FlagError(
                        "it takes letters, digits, `.`, `_` and `-`, with a letter or a digit "
                            + "first and last")
                }
            },
            "what the control plane knows the node by; \"\": the host's name"),
        table(
            "node.labels", \.nodeLabels,
            .text("a text", example: "a") { (text) throws(FlagError) in
                guard text.utf8.count <= 256 else {
                    throw FlagError("a label's value of more than 256 bytes")
                }
            },
            keys: .text("a key", example: "zone") { (text) throws(FlagError) in
                guard isName(text, most: 128, also: "/") else {
                    throw FlagError(
                        "a label's key has letters, digits, `.`, `_`, `-` and `/`, with a letter "
                            + "or a digit first and last")
                }
            }, most: 64,
            "what a scheduler may choose nodes by; `alcove info` and the control plane are told"
        ).reloadable,
    ]

    private static func isName(_ text: String, most: Int, also: String = "") -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            TOMLParser.isBare(byte) && byte != UInt8(ascii: "_") && byte != UInt8(ascii: "-")
        }
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        return text.utf8.count <= most && isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy {
                TOMLParser.isBare($0) || $0 == UInt8(ascii: ".") || also.utf8.contains($0)
            }
    }

    private static let sockets: [ConfigurationKey] = [
        key(
            "socket.path", \.socket.path, .socketPath(mayBeEmpty: false),
            "where clients find the agent"),
        key("socket.mode", \.socket.mode, .mode, "the socket's permissions"),
        key(
            "socket.group", \.socket.group, .group,
            "the socket's group, whose members may then call; \"\": the agent's own"),
        live(
            "socket.allowed_users", \.allowedUsers, .users,
            "whose calls are taken, by the user id that the kernel tells; []: of everybody whom "
                + "the permissions let in"),
        key(
            "socket.keepalive", \.keepalive, .duration(.zero...maximumSpan),
            "after so long without a byte a client is asked whether it is there; \"0s\": never"),
        key(
            "socket.keepalive_timeout", \.keepaliveTimeout, .duration(oneSecond...maximumSpan),
            "how long it may take to answer before it is disconnected"),
        key(
            "monitor.path", \.monitor.path, .socketPath(mayBeEmpty: true),
            "a second socket, which offers only what changes nothing"),
        key("monitor.mode", \.monitor.mode, .mode, "its permissions"),
        key("monitor.group", \.monitor.group, .group, "its group"),
    ]

    private static let directories: [ConfigurationKey] = [
        key(
            "directories.state", \.stateDirectory, .path(example: "/var/lib/alcove"),
            "the record, images, and a directory for each sandbox with its logs"),
        key(
            "directories.scratch", \.scratchDirectory,
            .path("a path, or \"\"", mayBeEmpty: true, example: "/srv/alcove"),
            "where scratch space on the disk is made, in files without names; its disk is the one "
                + "that sandboxes reserve of; \"\": `scratch` in the state directory"),
        key(
            "images.capacity", \.imagesCapacity, .size(mostDisk),
            "what imported images may take; beyond it those that are neither used nor pinned go, "
                + "the one used longest ago first; \"0\": no bound"),
        key(
            "images.packing", \.imagesPacking, .choice,
            "how layers are kept that are imported from now on: as they are, or in blocks of LZ4, "
                + "which take less of a slow disk and more of the processor"),
    ]

    private static let sandboxes: [ConfigurationKey] = [
        key(
            "sandboxes.init", \.initProgram,
            .path(
                "a path, or \"\"", mayBeEmpty: true, example: "/usr/lib/alcove/alcove-init"),
            "the program that becomes process 1 of each sandbox; \"\": `alcove-init` beside "
                + "`alcoved`, or where the README says"),
        key(
            "sandboxes.cgroup", \.cgroupParent,
            .text("a name", example: "alcoved") { (text) throws(FlagError) in
                guard isName(text, most: 64) else {
                    throw FlagError(
                        "it takes letters, digits, `.`, `_` and `-`, with a letter or a digit "
                            + "first and last")
                }
            },
            "the cgroup, below the root of the version 2 tree, that holds all sandboxes"),
        key(
            "sandboxes.process_isolation", \.allowsProcessIsolation, .boolean,
            "whether a sandbox may be a jailed process; false: microVMs only"),
        key(
            "sandboxes.microvms", \.microVMs, .choice,
            "whether a sandbox may be a microVM: where KVM is fast, which is measured, also where "
                + "it is slow, or never"),
        key(
            "sandboxes.monitor", \.monitorDirectory,
            .path("a path, or \"\"", mayBeEmpty: true, example: "/usr/lib/alcove/monitor"),
            "the directory that microVMs run from, with their monitor, kernel and initial files; "
                + "\"\": `monitor` beside `alcoved`, or where the README says"),
        live(
            "sandboxes.limits", \.limitPolicy, .choice,
            "what becomes of a limit that the node cannot enforce: the sandbox is refused, or "
                + "runs without it, and the answer says so"),
        live(
            "sandboxes.log_size", \.logBytes, .size((64 << 10)...(1 << 40)),
            "how much of a sandbox's output is kept; the oldest goes first"),
        key(
            "sandboxes.spare_networks", \.spareNetworks, .integer(0...1024),
            "network namespaces that are made ahead"),
        live(
            "starts.in_flight", \.startsInFlight, .integer(1...1024),
            "starts that go on at once"),
        live(
            "starts.queue", \.startsQueued, .integer(0...1_000_000),
            "starts that may wait for others; more are refused"),
        live(
            "starts.queue_timeout", \.startQueueTimeout,
            .duration(.milliseconds(1)...maximumSpan),
            "how long a start may wait before it is refused"),
    ]

    private static let networks: [ConfigurationKey] = [
        key(
            "network.enabled", \.networks.areOn, .boolean,
            "whether sandboxes may have networks; turns on `net.ipv4.ip_forward`"),
        key(
            "network.slots", \.networks.slots, .prefix(8...28, example: "100.64.0.0/16"),
            "addresses by which the node knows its sandboxes; nobody else sees them"),
        key(
            "network.uplink", \.networks.uplink, .prefix(30...30, example: "100.127.255.252/30"),
            "four addresses for the cable between the node and its router of sandboxes"),
        key(
            "network.link", \.networks.link,
            .text("a name", example: "alcove0") { (text) throws(FlagError) in
                guard isName(text, most: 15) else {
                    throw FlagError(
                        "a link's name has letters, digits, `.`, `_` and `-`, at most 15, with a "
                            + "letter or a digit first and last")
                }
            },
            "the name of the node's end of that cable, and with it of the node's rules"),
        key(
            "network.router", \.networks.router, .path(example: "/run/alcove/router"),
            "where the router's network namespace is kept; it outlives the agent"),
        key(
            "network.management", \.networks.managementPrefixes, .prefixes,
            "networks that no sandbox reaches by way of the node, beside the node itself, "
                + "link-local and metadata addresses, and other sandboxes, which none ever does"),
        key(
            "network.underlay", \.networks.underlay, .optionalAddress,
            "this node's address on the network that carries tunnels to proxies; "
                + "\"\": VPCs say it"),
        key(
            "network.tunnel_port", \.networks.tunnelPort, .integer(1...65535),
            "the port of UDP that tunnels take, the same on all nodes and proxies"),
        key(
            "network.mtu", \.networks.mtu, .integer(576...65000),
            "how large packets of sandboxes are: 50 bytes below what the node's network carries"),
        key(
            "network.name_servers", \.networks.nameServers, .addresses,
            "who is asked for names that sandboxes ask for; []: those of `/etc/resolv.conf`"),
        key(
            "network.least_ready", \.networks.leastReady, .integer(0...4096),
            "networks that are made ahead at least; more after many were taken at once"),
        key(
            "network.most_ready", \.networks.mostReady, .integer(0...4096),
            "networks that are made ahead at most"),
    ]

    private static let capacity: [ConfigurationKey] = [
        live(
            "capacity.kept_cpus", \.keptBack.milliCPUs, .cpus,
            "CPUs kept back for the host: sandboxes cannot reserve them"),
        live(
            "capacity.kept_memory", \.keptBack.memoryBytes, .size(mostMemory),
            "memory kept back for the host"),
        live(
            "capacity.kept_pids", \.keptBack.pids, .integer(0...10_000_000),
            "processes kept back for the host"),
        live(
            "capacity.kept_disk", \.keptBack.diskBytes, .size(mostDisk),
            "space of the disk of `directories.scratch` kept back"),
        live(
            "capacity.overcommit_cpu_permille", \.overCommitCPUPermille, .integer(100...100_000),
            "how many times over the CPUs may be reserved, in thousandths: 1000 is once"),
        live(
            "capacity.overcommit_memory_permille", \.overCommitMemoryPermille,
            .integer(100...10_000),
            "the same for memory; above 1000, sandboxes that use what they reserved can end "
                + "each other"),
        live(
            "capacity.max_sandboxes", \.sandboxesLimit, .integer(1...100_000),
            "sandboxes at once"),
        live(
            "capacity.addresses", \.addressesLimit, .integer(1...100_000),
            "network addresses for sandboxes"),
        live(
            "capacity.default_cpus", \.defaultRequest.milliCPUs, .cpus,
            "CPUs that a sandbox without a limit reserves"),
        live(
            "capacity.default_memory", \.defaultRequest.memoryBytes, .size(mostMemory),
            "memory that a sandbox without a limit reserves"),
        live(
            "capacity.default_pids", \.defaultRequest.pids, .integer(0...10_000_000),
            "processes that a sandbox without a limit reserves"),
        live(
            "capacity.default_disk", \.defaultRequest.diskBytes, .size(mostDisk),
            "disk space that a sandbox reserves whose scratch space is in memory; one with scratch "
                + "space on the disk reserves that and `sandboxes.log_size`"),
    ]

    private static let watching: [ConfigurationKey] = [
        live(
            "events.kept", \.eventsKept, .integer(1000...10_000_000),
            "events that a watcher can go back to; those that the control plane has not "
                + "acknowledged are kept beyond that"),
        key(
            "control_plane.socket", \.controlPlaneSocket, .socketPath(mayBeEmpty: true),
            "the control plane's socket, which the agent connects to"),
        key(
            "metrics.path", \.metrics.path, .socketPath(mayBeEmpty: true),
            "a socket that answers `GET /metrics`"),
        key("metrics.mode", \.metrics.mode, .mode, "its permissions"),
        key("metrics.group", \.metrics.group, .group, "its group"),
        key(
            "metrics.port", \.metricsPort, .integer(0...65535),
            "the same on a TCP port of 127.0.0.1, for every user of the host; 0: none"),
        live("log.level", \.logLevel, .choice, "what is logged: this, and what is worse"),
        key(
            "log.format", \.logFormat, .choice,
            "`auto`: fields to the journal where standard error leads to it, text on a terminal, "
                + "else JSON lines"),
        live(
            "shutdown.drain_deadline", \.drainDeadline, .duration(.zero...maximumSpan),
            "on SIGTERM the agent takes no new sandboxes, waits so long for those that run, stops "
                + "the rest, and then ends; \"0s\": it leaves them running for the next agent"),
    ]

    private static let maximumSpan = Duration.seconds(7 * 24 * 3600)
    private static let mostMemory: ClosedRange<UInt64> = 0...(1 << 50)
    private static let mostDisk: ClosedRange<UInt64> = 0...(1 << 60)
    private static let oneSecond = Duration.seconds(1)
}

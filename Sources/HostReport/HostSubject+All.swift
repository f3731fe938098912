extension HostSubject {
    /// Every subject, in the order of a report.
    public static let all: [HostSubject] =
        [kernelRelease, architecture, clone, cloneIntoCgroup, pidfd, mountInterface]
        + [openResolved, closeRange, seccompNotify, seccompKill]
        + namespaceKinds.map(namespace)
        + [userNamespaces, mappedMounts, pressure]
        + [root, capabilities, resourceCapability, openFiles]
        + [cgroupMode] + ["cpu", "memory", "pids", "io"].map(controller)
        + [cgroupKill, cgroupFreeze]
        + ["tmpfs", "proc", "devpts"].map(fileSystem) + [overlay]
        + [memory, cpus, initProgram, sandboxStart]
        + [kvmDevice, kvmVersion, guestSpeed, isolation]

    private static let newerKernel = "run a newer kernel"

    // MARK: Kernel

    static let oldestRelease = KernelRelease(5, 14)

    static let kernelRelease = HostSubject(
        "kernel-release", .kernel, "kernel release", required: true,
        meaning: "5.14 is needed for `cgroup.kill`, 5.12 for `mount_setattr`, "
            + "5.11 for `close_range` with `CLOSE_RANGE_CLOEXEC`, 5.7 for `CLONE_INTO_CGROUP`",
        remedy: "run Linux \(oldestRelease) or newer")
    static let architecture = HostSubject(
        "architecture", .kernel, "architecture", required: true,
        meaning: "the policy of system calls is made for x86-64",
        remedy: "use an x86-64 machine")
    static let clone = HostSubject(
        "clone3", .kernel, "clone3", required: true,
        meaning: "makes a sandbox's first process, in its namespaces from the start",
        remedy: "\(newerKernel) (5.3), or let an outer seccomp policy allow `clone3`")
    static let cloneIntoCgroup = HostSubject(
        "clone-into-cgroup", .kernel, "CLONE_INTO_CGROUP", required: true,
        meaning: "the first process is born inside its cgroup, so limits hold from its start",
        remedy: "\(newerKernel) (5.7)")
    static let pidfd = HostSubject(
        "pidfd", .kernel, "pidfd", required: true,
        meaning: "waits for processes and signals them without a race for their number",
        remedy: "\(newerKernel) (5.3)")
    static let mountInterface = HostSubject(
        "mount-interface", .kernel, "mount interface", required: true,
        meaning: "`open_tree`, `move_mount`, `fsopen` and `mount_setattr` build the sandbox's root",
        remedy: "\(newerKernel) (5.12)")
    static let openResolved = HostSubject(
        "openat2", .kernel, "openat2", required: true,
        meaning: "looks into an image without being led out of it by a symbolic link",
        remedy: "\(newerKernel) (5.6)")
    static let closeRange = HostSubject(
        "close-range", .kernel, "close_range", required: true,
        meaning: "leaves no descriptor of the host open in a sandbox",
        remedy: "\(newerKernel) (5.11)")
    static let seccompNotify = HostSubject(
        "seccomp-notify", .kernel, "seccomp user_notif", required: true,
        meaning: "says which denied call a workload was killed for",
        remedy: "\(newerKernel) (5.0) built with CONFIG_SECCOMP_FILTER")
    static let seccompKill = HostSubject(
        "seccomp-kill", .kernel, "seccomp kill_process", required: true,
        meaning: "ends a whole process at a call of another architecture",
        remedy: "\(newerKernel) (4.14) built with CONFIG_SECCOMP_FILTER")

    static let namespaceKinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"]

    static func namespace(_ kind: String) -> HostSubject {
        let purposes = [
            "mnt": "a sandbox has a root of its own",
            "pid": "a sandbox sees no process but its own",
            "net": "a sandbox has a network of its own",
            "ipc": "a sandbox shares no System V memory with the host",
            "uts": "a sandbox has a hostname of its own",
            "cgroup": "a sandbox does not see where its cgroup is",
            "user": "`--map-user` gives a sandbox a root that is nobody outside",
        ]
        let optional = ["pid", "net", "ipc", "uts", "user"]
        return HostSubject(
            "namespace-\(kind)", .kernel, "\(kind) namespace", required: kind != "user",
            meaning: purposes[kind] ?? "",
            remedy: "run a kernel built with CONFIG_NAMESPACES"
                + (optional.contains(kind) ? " and CONFIG_\(kind.uppercased())_NS" : ""))
    }

    static let userNamespaces = HostSubject(
        "user-namespaces", .kernel, "user namespaces",
        meaning: "how many may be made: `--map-user` needs one for each sandbox",
        remedy: "raise the sysctl `user.max_user_namespaces`")
    static let mappedMounts = HostSubject(
        "id-mapped-mounts", .kernel, "id-mapped mounts",
        meaning: "one image can serve sandboxes of different user maps; nothing needs it yet",
        remedy: "\(newerKernel) (5.12)")
    static let pressure = HostSubject(
        "pressure", .kernel, "pressure (PSI)",
        meaning: "tells how short a node is of CPU, memory and disk",
        remedy: "start the kernel with `psi=1`, built with CONFIG_PSI")

    // MARK: Privileges

    static let root = HostSubject(
        "root", .privileges, "user", required: true,
        meaning: "only root can make a sandbox's namespaces, mounts and cgroups",
        remedy: "run `alcove` as root")

    /// What starting a sandbox needs, by the kernel's numbers.
    static let neededCapabilities: [Int32] = [6, 7, 8, 12, 21, 27]
    static let capabilities = HostSubject(
        "capabilities", .privileges, "capabilities", required: true,
        meaning: "sys_admin for namespaces and mounts, net_admin for the loopback link, mknod for "
            + "`/dev`, setuid, setgid and setpcap to give all of them up",
        remedy: "add what is missing to the service's or the container's bounding set")
    static let resourceCapabilityNumber: Int32 = 24
    static let resourceCapability = HostSubject(
        "cap-sys-resource", .privileges, "cap_sys_resource",
        meaning: "raises a hard limit: `--rlimit` above that of `alcove` itself needs it",
        remedy: "add CAP_SYS_RESOURCE, or ask for no more than the hard limits here")
    static let fewOpenFiles: UInt64 = 1024
    static let openFiles = HostSubject(
        "open-files", .privileges, "open files",
        meaning: "each running sandbox holds some descriptors; the second number is the hard limit",
        remedy: "raise it to \(fewOpenFiles) or more (`ulimit -n`, `LimitNOFILE=`)")

    // MARK: Cgroups

    static let cgroupMode = HostSubject(
        "cgroup-mode", .cgroups, "mode",
        meaning: "limits are set by cgroup v2: `unified` has it alone, `hybrid` beside "
            + "v1, `legacy` not at all",
        remedy: "start the kernel with `cgroup_no_v1=all`, systemd with "
            + "`systemd.unified_cgroup_hierarchy=1`")

    static func controller(_ name: String) -> HostSubject {
        let flags = [
            "cpu": "`--cpus`", "memory": "`--memory`", "pids": "`--pids`",
            "io": "`--io-read` and `--io-write`",
        ]
        return HostSubject(
            "cgroup-\(name)", .cgroups, "\(name) controller",
            meaning: "enforces \(flags[name] ?? ""): refused without it, unless "
                + "`--limits best-effort`",
            remedy: "give the \(name) controller to cgroup v2: no v1 hierarchy may hold it")
    }

    static let cgroupKill = HostSubject(
        "cgroup-kill", .cgroups, "cgroup.kill", required: true,
        meaning: "ends every process of a sandbox at once",
        remedy: "\(newerKernel) (5.14)")
    static let cgroupFreeze = HostSubject(
        "cgroup-freeze", .cgroups, "cgroup.freeze",
        meaning: "pauses a sandbox",
        remedy: "\(newerKernel) (5.2)")

    // MARK: File systems

    static func fileSystem(_ name: String) -> HostSubject {
        let purposes = [
            "tmpfs": "what a sandbox writes, its `/tmp` and its `/dev`",
            "proc": "a sandbox's own `/proc`", "devpts": "a sandbox's own terminals",
        ]
        return HostSubject(
            name, .fileSystems, name, required: true, meaning: purposes[name] ?? "",
            remedy: "run a kernel with \(name)")
    }

    static let overlay = HostSubject(
        "overlay", .fileSystems, "overlay",
        meaning: "a writable layer over an image; without it only `--read-only` works",
        remedy: "load the module `overlay`, or run a kernel with CONFIG_OVERLAY_FS")

    // MARK: Node

    static let memory = HostSubject(
        "memory", .node, "memory", meaning: "all sandboxes together have no more",
        remedy: "give the machine more memory")
    static let cpus = HostSubject(
        "cpus", .node, "CPUs", meaning: "those that `alcove` may run on",
        remedy: "widen the CPU affinity of `alcove`")
    static let initProgram = HostSubject(
        "alcove-init", .node, "alcove-init", required: true,
        meaning: "the first process in every sandbox",
        remedy: "install it beside `alcove` or in /usr/lib/alcove, or name it by ALCOVE_INIT")
    static let sandboxStart = HostSubject(
        "sandbox-start", .node, "a real sandbox", required: true,
        meaning: "one is started, runs a program and is removed: the time from request to end",
        remedy: "see what is missing above; `alcove plan` lists every step of a start")

    // MARK: KVM

    static let kvmDevice = HostSubject(
        "kvm-device", .kvm, "/dev/kvm", meaning: "microVMs run by it; process sandboxes do not",
        remedy: "turn on virtualisation in the firmware or the cloud's machine type, load "
            + "`kvm_intel` or `kvm_amd`, and let this user open the device")
    static let kvmVersion = HostSubject(
        "kvm-version", .kvm, "interface version", meaning: "12 is the only stable one",
        remedy: "make `/dev/kvm` available first; else \(newerKernel)")
    static let guestSpeed = HostSubject(
        "kvm-speed", .kvm, "guest kernel speed",
        meaning: "hardware takes less than a nanosecond an instruction; a host that emulates guest "
            + "kernel mode takes hundreds or thousands, and a guest's boot as much longer",
        remedy: "use bare metal, or a machine type with hardware-assisted nested virtualisation")
    static let isolation = HostSubject(
        "isolation", .kvm, "isolation by `auto`",
        meaning: "`microvm` where guest kernel mode is fast, else `process`",
        remedy: "use process sandboxes here, or make KVM fast, as said above")
}

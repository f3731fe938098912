/// A thing of the host that some tests cannot do without.
///
/// Its raw value is its name in `ALCOVE_NEEDS_REQUIRED`.
public enum Need: String, CaseIterable, Sendable {
    /// Effective user id 0.
    case root
    /// `CAP_NET_ADMIN`: links, addresses and routes in a network namespace of the test's own.
    case netAdmin = "net-admin"
    /// `CAP_SYS_ADMIN`: namespaces and mounts.
    case sysAdmin = "sys-admin"
    /// A user namespace can be made.
    case userNamespaces = "user-namespaces"
    /// `/dev/kvm` opens. Says nothing on its speed.
    case kvm
    /// Memory can be mapped that the machine does not have.
    case unreservedMemory = "unreserved-memory"
    /// Eight huge pages of 2 MiB are set aside and free.
    case hugePages = "huge-pages"
    /// A cgroup v2 tree is mounted, and cgroups can be made in it.
    case cgroupV2 = "cgroup-v2"
    /// The controller of that name is in the cgroup v2 tree.
    case cgroupCPU = "cgroup-cpu"
    case cgroupMemory = "cgroup-memory"
    case cgroupPids = "cgroup-pids"
    case cgroupIO = "cgroup-io"
    /// The kernel can mount an overlay.
    case overlay
    /// The kernel can mount EROFS.
    case erofs
    /// Files can be made block devices.
    case loopDevices = "loop-devices"
    /// Links whose other end is a process can be made.
    case tun
    /// A program is on the `PATH`.
    case git
    case bash
    case python3
    case cc
    case strace
    case shellcheck
    case busybox
    case bubblewrap
    case crun
    case runc
    case protoc
    case fish
    case zsh
    case systemdAnalyze = "systemd-analyze"
    case systemdNotify = "systemd-notify"
    case systemdSocketActivate = "systemd-socket-activate"
    case fsckErofs = "fsck.erofs"
    case mkfsExt4 = "mkfs.ext4"
    case mkfsErofs = "mkfs.erofs"
    case dumpErofs = "dump.erofs"
    case bsdtar
    case getfattr
    case skopeo
    case umoci
    case buildah
    case aptGet = "apt-get"
    case jq
    case ip
    case nft
    case qemu = "qemu-system-x86_64"
    /// `scripts/build-kernel` has run.
    case guestKernel = "guest-kernel"
    /// `rootfs/build-python` has run.
    case pythonImage = "python-image"
    /// The Python packages that tests judge messages and calls by.
    case pythonEnvironment = "python-env"

    /// Whether the host has it. Probed once for each run.
    public var isMet: Bool { Self.met.contains(self) }

    /// What is missing and where it comes from, for the line that says why a test is skipped.
    public var sentence: String {
        switch self {
        case .root: "needs root"
        case .netAdmin: "needs CAP_NET_ADMIN"
        case .sysAdmin: "needs CAP_SYS_ADMIN"
        case .userNamespaces: "needs a kernel that lets this user make a user namespace"
        case .kvm: "needs a `/dev/kvm` that opens"
        case .unreservedMemory:
            "needs a kernel that maps more memory than there is (`sysctl vm.overcommit_memory=0`)"
        case .hugePages: "needs eight free huge pages (`sysctl vm.nr_hugepages=8`)"
        case .cgroupV2: "needs a cgroup v2 tree in which cgroups can be made"
        case .cgroupCPU: "needs the cpu controller in the cgroup v2 tree"
        case .cgroupMemory: "needs the memory controller in the cgroup v2 tree"
        case .cgroupPids: "needs the pids controller in the cgroup v2 tree"
        case .cgroupIO: "needs the io controller in the cgroup v2 tree"
        case .overlay: "needs overlay in `/proc/filesystems`"
        case .erofs: "needs erofs in `/proc/filesystems`"
        case .loopDevices: "needs a `/dev/loop-control` that opens"
        case .tun: "needs a `/dev/net/tun` that opens"
        case .skopeo, .umoci, .buildah:
            "needs `\(program)` on the PATH (`scripts/setup --image-tools` installs it)"
        case .qemu: "needs `\(program)` on the PATH (`scripts/setup --testbed` installs it)"
        case .guestKernel: "needs `build/kernel/vmlinux` (`scripts/build-kernel` makes it)"
        case .pythonImage:
            "needs `build/rootfs/python.oci.tar` (`rootfs/build-python` makes it)"
        case .bubblewrap, .crun, .runc:
            "needs `\(program)` on the PATH (`scripts/setup --bench` installs it)"
        case .pythonEnvironment:
            "needs the Python environment `build/venv` (`scripts/python-env` makes it)"
        case .git, .bash, .python3, .cc, .strace, .shellcheck, .busybox, .protoc, .fish,
            .zsh, .systemdAnalyze, .systemdNotify, .systemdSocketActivate,
            .mkfsExt4, .fsckErofs, .mkfsErofs, .dumpErofs, .bsdtar, .getfattr, .aptGet, .jq, .ip,
            .nft:
            "needs `\(program)` on the PATH (`scripts/setup` installs it)"
        }
    }

    /// The program that a need for a program means.
    private var program: String { self == .bubblewrap ? "bwrap" : rawValue }

    private static let met: Set<Need> = Set(allCases.filter(\.probe))

    private var probe: Bool {
        switch self {
        case .root: Host.isRoot
        case .netAdmin: Host.hasCapability(12)
        case .sysAdmin: Host.hasCapability(21)
        case .userNamespaces: Host.makesUserNamespaces
        case .kvm: Host.opens("/dev/kvm")
        case .unreservedMemory: Host.mapsUnreservedMemory
        case .hugePages: Host.freeHugePages >= 8
        case .cgroupV2: Host.cgroupFolder.map(Host.isWritableFolder) ?? false
        case .cgroupCPU: Host.cgroupControllers.contains("cpu")
        case .cgroupMemory: Host.cgroupControllers.contains("memory")
        case .cgroupPids: Host.cgroupControllers.contains("pids")
        case .cgroupIO: Host.cgroupControllers.contains("io")
        case .erofs: Host.fileSystems.contains("erofs")
        case .loopDevices: Host.opens("/dev/loop-control")
        case .tun: Host.opens("/dev/net/tun")
        case .overlay: Host.fileSystems.contains("overlay")
        case .pythonEnvironment: PythonEnvironment.isComplete
        case .guestKernel: Host.exists(PackageRoot.path("build/kernel/System.map"))
        case .pythonImage: Host.exists(PackageRoot.path("build/rootfs/python.oci.tar"))
        case .git, .bash, .python3, .cc, .strace, .shellcheck, .busybox, .bubblewrap, .crun,
            .runc, .protoc, .fish, .zsh, .systemdAnalyze, .systemdNotify, .systemdSocketActivate,
            .mkfsExt4, .fsckErofs, .mkfsErofs, .dumpErofs, .bsdtar, .getfattr, .aptGet, .jq, .ip,
            .nft, .skopeo,
            .umoci, .buildah, .qemu:
            Host.executable(program) != nil
        }
    }
}

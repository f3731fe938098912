extension PlanStep: CustomStringConvertible {
    /// The step as it is printed, and as it stands before the reason when it fails:
    /// ``mount `/proc`: Operation not permitted``.
    public var description: String {
        switch self {
        case .createCgroup(let path): "create cgroup `\(path)`"
        case .limitCgroup(let file, let value): "set `\(file)` to `\(value)`"
        case .cloneImage(let path): "clone image `\(path)`"
        case .createProcess(let namespaces, let insideCgroup):
            "create process in new \(namespaces.map(\.rawValue).joined(separator: ", "))"
                + " namespaces\(insideCgroup ? ", inside its cgroup" : "")"
        case .awaitIdentityMaps(let maps):
            "await identity maps `"
                + maps.map { "\($0.inside):\($0.outside):\($0.count)" }.joined(separator: " ") + "`"
        case .newCgroupNamespace: "enter new cgroup namespace"
        case .joinNetwork(.begun): "join network namespace made meanwhile"
        case .joinNetwork: "join network namespace made ahead"
        case .makeMountsPrivate: "make mounts private"
        case .formatScratch(let bytes):
            "make a file system of \(Limits.bytes(bytes)) on the disk"
        case .makeScratch(let bytes): "make scratch memory of \(Limits.bytes(bytes))"
        case .mountScratch: "mount scratch space on the disk"
        case .mountImage: "mount image read-only"
        case .mountOverlay: "mount image below a writable layer"
        case .makeProc: "make process file system"
        case .makeDevices(.created): "create devices"
        case .makeDevices(.bound): "bind devices"
        case .takeMachineFiles(let files):
            "create `/dev/kvm`, clone \(Self.list(files.map(\.path)))"
        case .takeNameFile(let path): "clone `\(path)`"
        case .enterRoot: "enter new root"
        case .mountProc: "mount `/proc`"
        case .mountDevices: "mount `/dev`"
        case .mountMachineFiles(let files):
            "mount \(Self.list(files.map { "/dev/\($0.name)" }))"
        case .mountNameFile: "mount `/etc/resolv.conf`"
        case .mountTerminals: "mount `/dev/pts`"
        case .mountTemporary: "mount `/tmp`"
        case .mask(let paths): "mask \(Self.list(paths.map(\.path)))"
        case .protect(let paths): "make read-only \(Self.list(paths))"
        case .setHostname(let name): "set hostname `\(name)`"
        case .raiseLoopback: "raise loopback"
        case .openTerminal: "open terminal"
        case .limitProcess(let limit):
            "limit \(limit.resource.rawValue) to \(Self.bound(limit.soft))"
                + ":\(Self.bound(limit.hard))"
        case .dropBoundingSet: "drop capabilities from the bounding set"
        case .dropGroups: "drop supplementary groups"
        case .setIdentity(let user): "become user \(user.user), group \(user.group)"
        case .dropCapabilities: "drop all capabilities"
        case .changeDirectory(let path): "change directory to `\(path)`"
        case .forbidNewPrivileges: "forbid new privileges"
        case .closeDescriptors: "close all other descriptors on exec"
        case .loadFilter(.kill): "load system-call filter, a denied call kills"
        case .loadFilter(.errno): "load system-call filter, a denied call fails"
        case .execute(let command): "execute `\(Self.shortened(command))` by alcove-init"
        }
    }

    /// The command with its first arguments: all of them may be megabytes.
    private static func shortened(_ command: [String]) -> String {
        let longest = 120
        var text = ""
        for word in command {
            text += (text.isEmpty ? "" : " ") + String(word.unicodeScalars.prefix(longest + 1))
            if text.unicodeScalars.count > longest {
                return String(text.unicodeScalars.prefix(longest - 1)) + "…"
            }
        }
        return text
    }

    private static func list(_ paths: [String]) -> String {
        paths.isEmpty ? "nothing" : paths.map { "`\($0)`" }.joined(separator: ", ")
    }

    private static func bound(_ value: UInt64) -> String {
        value == .max ? "unlimited" : "\(value)"
    }

    /// Why the step is there, for the documentation.
    public var reason: String {
        switch self {
        case .createCgroup:
            "Limits, freezing and killing act on the group, so nothing started inside escapes them."
        case .limitCgroup: "The limit holds before the sandbox's first instruction."
        case .cloneImage:
            "The image is opened once, by the host; the child follows no path of the host to it."
        case .createProcess:
            "`CLONE_INTO_CGROUP` puts the child in its group at birth: moving it later costs 10 ms."
        case .awaitIdentityMaps: "Only the host may map numbers that are not the child's own."
        case .newCgroupNamespace:
            "Entered by the child itself, so that its own group is the root that it sees."
        case .joinNetwork: "Making one costs more than all other namespaces together."
        case .makeMountsPrivate: "No mount made here is seen outside, and none made outside here."
        case .formatScratch:
            "Its size is the bound, and its space is taken: no quota is needed, none runs out."
        case .makeScratch:
            "One memory file system holds all that the sandbox may write, under one bound."
        case .mountImage: "Nothing can change the image, not even with a hole in the file system."
        case .mountScratch:
            "One file system holds all that the sandbox may write, under one bound."
        case .mountOverlay: "Changes go to scratch space; the image below stays as it is."
        case .makeProc:
            "Made while the host's is still in sight: a user namespace may not make it later."
        case .makeDevices: "Only devices without state of the host: null, zero, full, random, tty."
        case .takeMachineFiles:
            "A monitor opens KVM and the guest's disks by these; no path leads to anything else."
        case .takeNameFile: "The same file for all sandboxes with a network: all ask the gateway."
        case .enterRoot:
            "`pivot_root`, then the old root is let go: no path leads to the host's files."
        case .mountProc: "Shows this pid namespace alone."
        case .mountDevices: "Minimal, and its nodes are the only ones that can be opened."
        case .mountMachineFiles: "Read-only, but for what the guest writes to."
        case .mountNameFile:
            "Read-only, in place of what the image has; a writable root gets what is missing."
        case .mountTerminals: "Terminals of its own: no host terminal is reachable."
        case .mountTemporary: "No device, no set-user-id program takes effect there."
        case .mask: "These files tell of the host, or act on it."
        case .protect: "Settings and switches of the host's kernel."
        case .setHostname: "Programs name themselves by it."
        case .raiseLoopback: "Programs talk to themselves over it; no other link is there."
        case .openTerminal: "The workload's side is made here; the host gets the other one."
        case .limitProcess: "Bounds a single process, where a cgroup bounds them all."
        case .dropBoundingSet: "No later `exec` can give a capability back, to root neither."
        case .dropGroups: "The host's groups open nothing inside."
        case .setIdentity: "From here on the child is the workload's user."
        case .dropCapabilities: "Effective, permitted, inheritable and ambient sets are empty."
        case .changeDirectory: "As the workload's user, so that it needs the right to be there."
        case .forbidNewPrivileges: "Set-user-id programs and file capabilities have no effect."
        case .closeDescriptors: "A descriptor of the host left open would be a way out."
        case .loadFilter:
            "Last, since the steps above need calls that the workload must not have."
        case .execute: "alcove-init is pid 1: it starts the workload, reaps, and reports."
        }
    }
}

internal import CLinux

/// System calls that a sandbox is made by, and that an older kernel may lack.
public enum KernelInterface: String, CaseIterable, Sendable {
    case clone3
    /// `clone3` with `CLONE_INTO_CGROUP`.
    case cloneIntoCgroup = "CLONE_INTO_CGROUP"
    case openTree = "open_tree"
    case moveMount = "move_mount"
    case openFileSystem = "fsopen"
    case setMountAttributes = "mount_setattr"
    case openProcess = "pidfd_open"
    case signalProcess = "pidfd_send_signal"
    case openResolved = "openat2"
    case closeRange = "close_range"

    /// Whether the kernel has it. Makes a call that cannot succeed, and looks at how it fails.
    public var isPresent: Bool {
        let result = refusedCall()
        if self == .cloneIntoCgroup {
            // Without the flag the structure is refused before the descriptor is looked at.
            return result == -Int64(ErrorNumber.badDescriptor.rawValue)
        }
        return result != -Int64(ErrorNumber.notImplemented.rawValue)
    }

    /// Each has no descriptor, no structure, or flags that do not exist: none changes anything.
    private func refusedCall() -> Int64 {
        let none = UInt64(argument: -1)
        let unknownFlags: UInt64 = 0x7fff_ffff
        return switch self {
        case .clone3: systemCall(__NR_clone3, 0, 0)
        case .cloneIntoCgroup: cloneIntoNothing()
        case .openTree: systemCall(__NR_open_tree, none, 0, unknownFlags)
        case .moveMount: systemCall(__NR_move_mount, none, 0, none, 0, unknownFlags)
        case .openFileSystem: systemCall(__NR_fsopen, 0, unknownFlags)
        case .setMountAttributes: systemCall(__NR_mount_setattr, none, 0, unknownFlags, 0, 0)
        case .openProcess: systemCall(__NR_pidfd_open, none, 0)
        case .signalProcess: systemCall(__NR_pidfd_send_signal, none, 0)
        case .openResolved: systemCall(__NR_openat2, none, 0, 0, 0)
        case .closeRange: systemCall(__NR_close_range, 1, 0, unknownFlags)
        }
    }

    /// Asks for a child in the cgroup of a descriptor beyond all that can be open.
    private func cloneIntoNothing() -> Int64 {
        var arguments = clone_args()
        arguments.flags = 0x2_0000_0000
        arguments.exit_signal = 17
        arguments.cgroup = UInt64(Int32.max)
        return withAddress(of: &arguments) {
            systemCall(__NR_clone3, $0, UInt64(MemoryLayout<clone_args>.size))
        }
    }
}

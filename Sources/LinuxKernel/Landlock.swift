internal import CLinux

/// A fence around what a thread may reach by name, beside the rights of its user. It needs no
/// capability. Corresponds to Landlock.
public enum Landlock {
    /// What a version of the kernel's interface can refuse.
    public struct Refusals: Hashable, Sendable {
        /// Corresponds to `LANDLOCK_ACCESS_FS_…`, all that the version has.
        public let files: UInt64
        /// `LANDLOCK_ACCESS_NET_BIND_TCP` and `…_CONNECT_TCP`.
        public let network: UInt64
        /// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `LANDLOCK_SCOPE_SIGNAL`: what lies outside
        /// the fence is not connected to, and not signaled.
        public let scopes: UInt64
        /// How many bytes of the structure the version knows.
        let attributeBytes: UInt64

        public init(version: Int) {
            // Thirteen to begin with, then one more each: moving files between folders, changing
            // their size, requests to devices.
            let known =
                switch version {
                case ..<1: 0
                case 1: 13
                case 2: 14
                case 3, 4: 15
                default: 16
                }
            files = (1 << UInt64(known)) - 1
            network = version >= 4 ? 3 : 0
            scopes = version >= 6 ? 3 : 0
            attributeBytes = version >= 6 ? 24 : version >= 4 ? 16 : 8
        }
    }

    /// What became of a restriction.
    public enum Outcome: Hashable, Sendable {
        case restricted(version: Int)
        /// The kernel has no such fence, or it is switched off.
        case unavailable
    }

    /// The version of the interface; nil where the kernel has none.
    public static var version: Int? {
        // LANDLOCK_CREATE_RULESET_VERSION
        let version = systemCall(__NR_landlock_create_ruleset, 0, 0, 1)
        return version > 0 ? Int(version) : nil
    }

    /// Refuses the calling thread, and those that it makes from now on, all that the kernel can
    /// refuse, for good: no file is opened, made or removed by its name, no port of TCP used.
    ///
    /// What is open stays as it is. For a thread that can gain no privileges; see
    /// ``ThisProcess/renouncePrivileges()``.
    public static func refuseAll() throws(SystemCallError) -> Outcome {
        guard let version else { return .unavailable }
        let refusals = Refusals(version: version)
        // struct landlock_ruleset_attr
        var attribute = (refusals.files, refusals.network, refusals.scopes)
        let rules = Descriptor(
            owning: Int32(
                try checked(
                    withAddress(of: &attribute) {
                        systemCall(
                            __NR_landlock_create_ruleset, $0, refusals.attributeBytes, 0)
                    }, "landlock_create_ruleset")))
        try checked(
            systemCall(__NR_landlock_restrict_self, UInt64(argument: rules.rawValue), 0),
            "landlock_restrict_self")
        return .restricted(version: version)
    }
}

/// The layers: which modules each target of `Sources` may import. Imports point down only.
///
/// Mirrors the table in `docs/design.md`, and `Package.swift` word for word (a test holds them
/// together). A target enters with its first file: a row here, a target in the manifest.
enum ImportTable {
    struct Row: Sendable {
        enum Kind: Sendable {
            /// Swift that prints nothing.
            case library
            /// Swift with a `main`: may print.
            case program
            /// C of our own: libc and the kernel's headers, and what the row names.
            case c
            /// A module map over a library of the system.
            case systemLibrary
        }

        let target: String
        let kind: Kind
        /// Targets of the package, and modules of the toolchain but the standard library.
        let modules: Set<String>

        init(_ target: String, _ kind: Kind, _ modules: Set<String> = []) {
            self.target = target
            self.kind = kind
            self.modules = modules
        }
    }

    static let rows: [Row] = [
        Row("CInitProtocol", .c),
        Row("CInit", .c),
        Row("alcove-init", .program, ["CInit", "CInitProtocol"]),
        Row("CLinux", .c, ["CInitProtocol"]),
        Row("CSeccomp", .systemLibrary),
        Row("CCapability", .systemLibrary),
        Row("LinuxKernel", .library, ["CLinux", "CSeccomp", "CCapability"]),
        Row("Netlink", .library, ["LinuxKernel"]),
        Row("HostNetwork", .library, ["LinuxKernel", "Netlink"]),
        Row("CGuestMemory", .c),
        Row("GuestMemory", .library, ["CGuestMemory", "LinuxKernel"]),
        Row("CKVM", .c),
        Row("KVM", .library, ["CKVM", "GuestMemory", "LinuxKernel"]),
        Row("Virtio", .library, ["GuestMemory", "LinuxKernel"]),
        Row("Machine", .library, ["GuestMemory", "KVM", "LinuxKernel", "Virtio"]),
        Row("GuestLink", .library, ["CInitProtocol", "LinuxKernel"]),
        Row(
            "alcove-vmm", .program,
            [
                "CInitProtocol", "Console", "GuestLink", "JSON", "KVM", "LinuxKernel", "Machine",
                "Virtio",
            ]),
        Row("CNGHTTP2", .systemLibrary),
        Row("RPC", .library, ["CNGHTTP2", "LinuxKernel"]),
        Row("CSQLite", .systemLibrary),
        Row("Store", .library, ["CSQLite", "LinuxKernel"]),
        Row("SandboxModel", .library),
        Row("Simulation", .library, ["SandboxModel"]),
        Row("CArchive", .systemLibrary),
        Row("CLZ4", .systemLibrary),
        Row("CNettle", .systemLibrary),
        Row(
            "ImageStore", .library,
            ["CArchive", "CLZ4", "CNettle", "Glibc", "JSON", "LinuxKernel"]),
        Row("Jail", .library, ["SandboxModel", "LinuxKernel", "CInitProtocol"]),
        Row("MicroVM", .library, ["Jail", "JSON", "LinuxKernel", "SandboxModel"]),
        Row("HostReport", .library, ["SandboxModel", "LinuxKernel", "Jail", "KVM"]),
        Row("JSON", .library),
        Row("Console", .library, ["JSON"]),
        Row("AgentOperations", .library, ["Console", "LinuxKernel", "Netlink"]),
        Row("ProtocolBuffers", .library),
        Row("protoc-gen-alcove-swift", .program, ["ProtocolBuffers", "LinuxKernel"]),
        Row("AgentAPI", .library, ["LinuxKernel", "ProtocolBuffers", "RPC", "SandboxModel"]),
        Row("AgentViews", .library, ["AgentAPI", "Console", "ProtocolBuffers"]),
        Row(
            "Agent", .library,
            [
                "AgentAPI", "AgentOperations", "HostNetwork", "ImageStore", "JSON", "Jail", "KVM",
                "LinuxKernel", "MicroVM", "Netlink", "ProtocolBuffers", "RPC", "SandboxModel",
                "Store",
            ]),
        Row(
            "alcoved", .program,
            ["Agent", "AgentOperations", "Console", "LinuxKernel", "RPC", "SandboxModel"]),
        Row(
            "ProxyNode", .library,
            [
                "AgentAPI", "AgentOperations", "LinuxKernel", "Netlink", "ProtocolBuffers", "RPC",
                "Store",
            ]),
        Row(
            "alcove-proxy", .program,
            ["AgentOperations", "Console", "LinuxKernel", "ProxyNode", "RPC"]),
        Row(
            "alcove", .program,
            [
                "Console", "HostReport", "ImageStore", "SandboxModel", "Jail", "KVM",
                "LinuxKernel", "MicroVM", "RPC", "ProtocolBuffers", "AgentAPI", "AgentViews",
                "Simulation",
            ]),
    ]

    /// Modules of C, which must not reach a public signature. Targets of C are added to them.
    static let toolchainC: Set<String> = ["Glibc", "Musl"]

    /// Whether a file belongs to a program.
    static func isProgram(_ file: SourceFile, rows: [Row] = rows) -> Bool {
        rows.contains { $0.kind == .program && file.path.hasPrefix("Sources/\($0.target)/") }
    }
}

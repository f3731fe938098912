// swift-tools-version: 6.3
import PackageDescription

/// Every Swift target of the package is built with these.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

let strictC: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-std=gnu17"])]

#if arch(arm64)
    let musl = "aarch64-linux-musl"
#else
    let musl = "x86_64-linux-musl"
#endif

/// C over musl: its headers instead of glibc's, the kernel's behind them.
let muslC: [CSetting] =
    strictC + [
        .unsafeFlags([
            "-nostdlibinc", "-isystem", "/usr/include/\(musl)", "-idirafter", "/usr/include",
            "-idirafter", "/usr/include/\(musl.dropLast(4))gnu",
            "-Os", "-ffunction-sections", "-fPIE",
        ])
    ]

/// A static program over musl from Embedded Swift: no runtime, and nothing in it may allocate.
let embedded: [SwiftSetting] =
    strict + [
        .enableExperimentalFeature("Embedded"),
        .unsafeFlags([
            "-wmo", "-parse-as-library", "-Osize", "-Xfrontend", "-no-allocations",
            "-Xfrontend", "-function-sections",
        ]),
    ]
let embeddedLink: [LinkerSetting] = [
    .unsafeFlags(
        ["-enable-experimental-feature", "Embedded", "-wmo", "-use-ld=lld"]
            + [
                "-static-pie", "-Wno-unused-command-line-argument", "-nostdlib", "-nostartfiles",
                "/usr/lib/\(musl)/rcrt1.o",
                "/usr/lib/\(musl)/crti.o", "/usr/lib/\(musl)/libc.a", "/usr/lib/\(musl)/crtn.o",
            ].flatMap { ["-Xclang-linker", $0] }
            + [
                "-s", "--gc-sections", "--build-id=none", "-z", "noexecstack", "-z", "relro", "-z",
                "now",
            ]
            .flatMap { ["-Xlinker", $0] })
]

let package = Package(
    name: "alcove",
    targets: [
        .target(name: "CInitProtocol", cSettings: strictC),
        .target(name: "CLinux", dependencies: ["CInitProtocol"], cSettings: strictC),
        .target(name: "CInit", cSettings: muslC),
        .executableTarget(
            name: "alcove-init", dependencies: ["CInit", "CInitProtocol"],
            swiftSettings: embedded, linkerSettings: embeddedLink),
        .systemLibrary(name: "CSeccomp"),
        .systemLibrary(name: "CCapability"),
        .target(
            name: "LinuxKernel",
            dependencies: ["CLinux", "CSeccomp", "CCapability"],
            swiftSettings: strict,
            linkerSettings: [.linkedLibrary(":libseccomp.a"), .linkedLibrary(":libcap.a")]
        ),
        .target(name: "Netlink", dependencies: ["LinuxKernel"], swiftSettings: strict),
        .target(
            name: "HostNetwork", dependencies: ["LinuxKernel", "Netlink"], swiftSettings: strict),
        .target(name: "CGuestMemory", cSettings: strictC),
        .target(
            name: "GuestMemory", dependencies: ["CGuestMemory", "LinuxKernel"],
            swiftSettings: strict),
        .target(name: "CKVM", cSettings: strictC),
        .target(
            name: "KVM", dependencies: ["CKVM", "GuestMemory", "LinuxKernel"],
            swiftSettings: strict),
        .target(
            name: "Virtio", dependencies: ["GuestMemory", "LinuxKernel"], swiftSettings: strict),
        .target(
            name: "GuestLink", dependencies: ["CInitProtocol", "LinuxKernel"],
            swiftSettings: strict),
        .target(
            name: "Machine", dependencies: ["GuestMemory", "KVM", "LinuxKernel", "Virtio"],
            swiftSettings: strict),
        .systemLibrary(name: "CNGHTTP2"),
        .target(
            name: "RPC", dependencies: ["CNGHTTP2", "LinuxKernel"], swiftSettings: strict,
            linkerSettings: [.linkedLibrary(":libnghttp2.a")]),
        .systemLibrary(name: "CSQLite"),
        .target(
            name: "Store", dependencies: ["CSQLite", "LinuxKernel"], swiftSettings: strict,
            linkerSettings: [.linkedLibrary(":libsqlite3.a")]),
        .target(name: "SandboxModel", swiftSettings: strict),
        .target(name: "Simulation", dependencies: ["SandboxModel"], swiftSettings: strict),
        .target(
            name: "Jail", dependencies: ["SandboxModel", "LinuxKernel", "CInitProtocol"],
            swiftSettings: strict),
        .systemLibrary(name: "CArchive"),
        .systemLibrary(name: "CLZ4"),
        .systemLibrary(name: "CNettle"),
        .target(
            name: "ImageStore",
            dependencies: ["CArchive", "CLZ4", "CNettle", "JSON", "LinuxKernel"],
            swiftSettings: strict,
            linkerSettings: [
                ":libarchive.a", ":libz.a", ":libzstd.a", ":liblz4.a", ":libnettle.a",
            ].map { .linkedLibrary($0) }),
        .target(
            name: "MicroVM", dependencies: ["JSON", "Jail", "LinuxKernel", "SandboxModel"],
            swiftSettings: strict),
        .target(
            name: "HostReport", dependencies: ["SandboxModel", "LinuxKernel", "Jail", "KVM"],
            swiftSettings: strict),
        .target(name: "JSON", swiftSettings: strict),
        .target(name: "Console", dependencies: ["JSON"], swiftSettings: strict),
        .executableTarget(
            name: "alcove",
            dependencies: [
                "AgentAPI", "AgentViews", "Console", "HostReport", "ImageStore", "Jail", "KVM",
                "LinuxKernel", "MicroVM", "ProtocolBuffers", "RPC", "SandboxModel", "Simulation",
            ],
            swiftSettings: strict + [.unsafeFlags(["-static-executable"])],
            linkerSettings: [
                .unsafeFlags(["-static-executable"]),
                .unsafeFlags(["-Xlinker", "-s"], .when(configuration: .release)),
            ]),
        .executableTarget(
            name: "alcove-vmm",
            dependencies: [
                "CInitProtocol", "Console", "GuestLink", "JSON", "KVM", "LinuxKernel", "Machine",
                "Virtio",
            ],
            swiftSettings: strict + [.unsafeFlags(["-static-executable"])],
            linkerSettings: [
                .unsafeFlags(["-static-executable"]),
                .unsafeFlags(["-Xlinker", "-s"], .when(configuration: .release)),
            ]),
        .target(
            name: "AgentOperations", dependencies: ["Console", "LinuxKernel", "Netlink"],
            swiftSettings: strict),
        .target(name: "ProtocolBuffers", swiftSettings: strict),
        .target(
            name: "AgentAPI",
            dependencies: ["LinuxKernel", "ProtocolBuffers", "RPC", "SandboxModel"],
            swiftSettings: strict),
        .target(
            name: "Agent",
            dependencies: [
                "AgentAPI", "AgentOperations", "HostNetwork", "ImageStore", "JSON", "Jail", "KVM",
                "LinuxKernel", "MicroVM", "Netlink", "ProtocolBuffers", "RPC", "SandboxModel",
                "Store",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "alcoved",
            dependencies: [
                "Agent", "AgentOperations", "Console", "LinuxKernel", "RPC", "SandboxModel",
            ],
            swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags(["-static-stdlib"]),
                .unsafeFlags(["-Xlinker", "-s"], .when(configuration: .release)),
            ]),
        .target(
            name: "ProxyNode",
            dependencies: [
                "AgentAPI", "AgentOperations", "LinuxKernel", "Netlink", "ProtocolBuffers", "RPC",
                "Store",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "alcove-proxy",
            dependencies: ["AgentOperations", "Console", "LinuxKernel", "ProxyNode", "RPC"],
            swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags(["-static-stdlib"]),
                .unsafeFlags(["-Xlinker", "-s"], .when(configuration: .release)),
            ]),
        .target(
            name: "AgentViews", dependencies: ["AgentAPI", "Console", "ProtocolBuffers"],
            swiftSettings: strict),
        .executableTarget(
            name: "protoc-gen-alcove-swift", dependencies: ["LinuxKernel", "ProtocolBuffers"],
            swiftSettings: strict),
        .testTarget(
            name: "LinuxKernelTests", dependencies: ["LinuxKernel", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "NetlinkTests", dependencies: ["LinuxKernel", "Netlink", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "HostNetworkTests",
            dependencies: ["HostNetwork", "LinuxKernel", "Netlink", "TestSupport"],
            swiftSettings: strict),
        .executableTarget(
            name: "NetworkProbe", dependencies: ["HostNetwork", "LinuxKernel", "Netlink"],
            path: "Tests/NetworkProbe", swiftSettings: strict),
        .testTarget(
            name: "GuestMemoryTests", dependencies: ["GuestMemory", "LinuxKernel", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "VirtioTests",
            dependencies: ["GuestMemory", "LinuxKernel", "TestSupport", "Virtio"],
            swiftSettings: strict),
        .executableTarget(
            name: "DeviceFuzzer", dependencies: ["GuestMemory", "LinuxKernel", "Virtio"],
            path: "Tests/DeviceFuzzer", exclude: ["Corpus"], swiftSettings: strict),
        .testTarget(
            name: "GuestLinkTests",
            dependencies: ["CInitProtocol", "GuestLink", "LinuxKernel", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "MachineTests",
            dependencies: [
                "GuestMemory", "KVM", "LinuxKernel", "Machine", "TestSupport", "Virtio",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "MonitorTests", dependencies: ["TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "MicroVMTests", dependencies: ["MicroVM", "SandboxModel"], swiftSettings: strict),
        .testTarget(
            name: "KVMTests",
            dependencies: ["KVM", "LinuxKernel", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "HostReportTests",
            dependencies: [
                "HostReport", "Console", "LinuxKernel", "SandboxModel", "KVM", "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SandboxModelTests", dependencies: ["SandboxModel", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["SandboxModel", "Simulation", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "JailTests", dependencies: ["Jail", "CInitProtocol", "CSeccomp", "TestSupport"],
            exclude: ["Probes"], swiftSettings: strict),
        .executableTarget(
            name: "ImageStoreProbe", dependencies: ["ImageStore", "LinuxKernel"],
            path: "Tests/ImageStoreProbe", swiftSettings: strict),
        .testTarget(
            name: "ImageStoreTests",
            dependencies: [
                "ImageStore", "JSON", "Jail", "LinuxKernel", "SandboxModel", "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "JSONTests", dependencies: ["JSON", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "ConsoleTests", dependencies: ["Console", "TestSupport"], exclude: ["zsh-offers"],
            swiftSettings: strict),
        .executableTarget(
            name: "OperatedProgram", dependencies: ["AgentOperations", "LinuxKernel"],
            path: "Tests/OperatedProgram", swiftSettings: strict),
        .testTarget(
            name: "AgentOperationsTests",
            dependencies: ["AgentOperations", "Console", "LinuxKernel", "TestSupport"],
            exclude: ["Python"], swiftSettings: strict),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "AgentAPI", "AgentViews", "Console", "LinuxKernel", "ProtocolBuffers",
                "SandboxModel", "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SandboxTests",
            dependencies: ["CInitProtocol", "Jail", "LinuxKernel", "SandboxModel", "TestSupport"],
            exclude: ["Probes"], swiftSettings: strict),
        .testTarget(
            name: "ProtocolBuffersTests", dependencies: ["ProtocolBuffers", "TestSupport"],
            exclude: ["every_kind.proto"], swiftSettings: strict),
        .testTarget(
            name: "AgentAPITests",
            dependencies: [
                "AgentAPI", "LinuxKernel", "ProtocolBuffers", "RPC", "SandboxModel", "TestSupport",
            ],
            exclude: ["Python"], swiftSettings: strict),
        .executableTarget(
            name: "RPCTestServer",
            dependencies: ["AgentAPI", "RPC", "LinuxKernel", "ProtocolBuffers"],
            path: "Tests/RPCTestServer", swiftSettings: strict),
        .testTarget(
            name: "RPCTests", dependencies: ["RPC", "LinuxKernel", "TestSupport"],
            exclude: ["Python"], swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "AgentAPI", "ImageStore", "Jail", "LinuxKernel", "ProtocolBuffers", "RPC",
                "AgentOperations", "SandboxModel", "Store", "TestSupport",
            ],
            exclude: ["Python"], swiftSettings: strict),
        .testTarget(
            name: "ProxyNodeTests",
            dependencies: [
                "AgentAPI", "AgentOperations", "HostNetwork", "LinuxKernel", "Netlink",
                "ProtocolBuffers", "ProxyNode", "RPC", "TestSupport",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "StoreTestWriter", dependencies: ["Store", "LinuxKernel"],
            path: "Tests/StoreTestWriter", swiftSettings: strict),
        .testTarget(
            name: "StoreTests", dependencies: ["Store", "LinuxKernel", "TestSupport"],
            swiftSettings: strict),
        .target(name: "CTestSupport", path: "Tests/CTestSupport", cSettings: strictC),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/TestSupport",
            exclude: ["judge.py"], swiftSettings: strict),
        .testTarget(
            name: "TestSupportTests", dependencies: ["TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "TidyTests", dependencies: ["TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "RootfsTests", dependencies: ["SandboxModel", "TestSupport"],
            swiftSettings: strict),
        .target(name: "CInitTesting", path: "Tests/CInitTesting", cSettings: strictC),
        .testTarget(
            name: "InitTests",
            dependencies: ["CInitProtocol", "CInitTesting", "SandboxModel", "TestSupport"],
            swiftSettings: strict),
    ]
)

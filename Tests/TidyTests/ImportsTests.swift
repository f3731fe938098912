import Testing

@Suite struct ImportsTests {
    static let rows: [ImportTable.Row] = [
        .init("CLow", .c),
        .init("Low", .library, ["CLow", "Glibc"]),
        .init("High", .library, ["Low"]),
    ]

    /// The findings for one file among others that are as they should be.
    static func findings(_ path: String, _ text: String) -> [Finding] {
        var texts = [
            "Sources/CLow/include/CLow.h": "#include <stdint.h>\n",
            "Sources/CLow/low.c": "#include \"CLow.h\"\n#include <linux/kvm.h>\n",
            "Sources/Low/Low.swift": "internal import CLow\ninternal import Glibc\n",
            "Sources/High/High.swift": "public import Low\n",
        ]
        texts[path] = text
        return Imports.findings(Tree(texts), rows: rows)
    }

    static let samples: [Sample] = [
        .good("Sources/High/A.swift", "// import Foundation\nlet a = \"\"\"\nimport B\n\"\"\"\n"),
        .good("Sources/High/A.swift", "@preconcurrency internal import struct Low.A\n"),
        .good("Sources/CLow/a.c", "// <seccomp.h>\n#include <errno.h>\n#include <sys/mount.h>\n"),
        .bad("Sources/High/A.swift", "\nimport Low\n", 2, "without an access level"),
        .bad("Sources/High/A.swift", "internal import CLow\n", 1, "`High` may not import `CLow`"),
        .bad("Sources/Low/A.swift", "public import High\n", 1, "its layer has CLow, Glibc"),
        .bad("Sources/Low/A.swift", "public import CLow\n", 1, "no type of it reaches"),
        .bad("Sources/Low/A.swift", "package import Glibc\n", 1, "always `internal import`"),
        .bad("Sources/Low/A.swift", "internal import Synchronization\n", 1, "may not import"),
        .bad("Sources/Low/A.swift", "internal import FoundationEssentials\n", 1, "costs every"),
        .bad("Sources/High/A.swift", "@testable internal import Low\n", 1, "make it `package`"),
        .bad("Sources/Other/A.swift", "let a = 1\n", 1, "`Other` is not in the table"),
        .bad("Sources/CLow/a.c", "\n#include <seccomp.h>\n", 2, "not of libc"),
        .bad("Sources/CLow/a.c", "#include <sys/capability.h>\n", 1, "not of libc"),
        .bad("Sources/CLow/a.c", "#include \"High.h\"\n", 1, "may not include `High.h`"),
    ]

    @Test("imports point down, as the table says", arguments: samples)
    func sample(_ sample: Sample) {
        Sample.expect(Self.findings(sample.path, sample.text), sample.found)
    }

    @Test("a row without a folder is found")
    func plannedRow() {
        let findings = Imports.findings(Tree([:]), rows: [.init("Later", .library)])
        Sample.expect(findings, [(1, "`Sources/Later` is not there")])
    }
}

@Suite struct ManifestTests {
    static let rows: [ImportTable.Row] = [
        .init("CLow", .c), .init("Low", .library, ["CLow", "Glibc"]),
    ]

    static func findings(_ manifest: String) -> [Finding] {
        let tree = Tree([
            "Package.swift": manifest, "Sources/CLow/a.c": "", "Sources/Low/A.swift": "",
        ])
        return Manifest.findings(tree, rows: rows)
    }

    @Test("a manifest as the table says is fine")
    func good() {
        let manifest = """
            let static: [SwiftSetting] =
                strict + [.unsafeFlags(["-static-executable"])]
            let program: [SwiftSetting] = static
            let package = Package(targets: [
                .target(name: "CLow"),
                .target(
                    name: "Low", dependencies: ["CLow"], swiftSettings: program),
            ])

            """
        Sample.expect(Self.findings(manifest), [])
    }

    @Test("a dependency too many, lenient settings and a missing target are found")
    func bad() {
        let manifest = """
            let package = Package(targets: [
                .target(name: "Low", dependencies: ["CLow", "Other"],
                    swiftSettings: [.swiftLanguageMode(.v6)]),
            ])

            """
        Sample.expect(
            Self.findings(manifest),
            [
                (1, "`CLow` is no target"), (2, "`Low` depends on CLow, Other here"),
                (2, "`Low` is built without the strict settings"),
            ])
    }
}

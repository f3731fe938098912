import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import Machine

/// What is generated from ``MonitorCalls`` is what it says. With `ALCOVE_WRITE_DOCS=1` in the
/// environment the tests write it anew.
@Suite struct MonitorCallsTests {
    private static let writes = ProcessInfo.processInfo.environment["ALCOVE_WRITE_DOCS"] == "1"

    /// The page with something else between two of its lines.
    private func replace(
        between begin: String, and end: String, by text: String, in path: String
    ) throws {
        let url = URL(fileURLWithPath: PackageRoot.path(path))
        let written = try String(contentsOf: url, encoding: .utf8)
        let first = try #require(written.range(of: begin + "\n"))
        let last = try #require(
            written.range(of: end, range: first.upperBound..<written.endIndex))
        let page = written[..<first.upperBound] + text + written[last.lowerBound...]
        if Self.writes {
            try page.write(to: url, atomically: true, encoding: .utf8)
        } else {
            #expect(
                String(page) == written, "\(path) is not what the code gives: ALCOVE_WRITE_DOCS=1")
        }
    }

    @Test("the filters that were made ahead are those of the table")
    func ahead() throws {
        var text = ""
        for thread in MonitorThread.allCases {
            text += "\n    private static let \(thread)Words: [UInt64] = [\n"
            for word in try MonitorCalls.compile(for: thread).words {
                text += "        0x\(String(word, radix: 16)),\n"
            }
            text += "    ]\n"
        }
        try replace(
            between: "    // The words.", and: "}\n", by: text,
            in: "Sources/Machine/MonitorCalls+Ahead.swift")
        guard !Self.writes else { return }
        for thread in MonitorThread.allCases {
            #expect(try MonitorCalls.ahead(thread) == MonitorCalls.compile(for: thread).words)
        }
    }

    @Test("the table in docs/microvm-jail.md is the one of the code")
    func document() throws {
        var text =
            "| call | devices | processor | disk | where | for |\n|---|---|---|---|---|---|\n"
        for call in MonitorCalls.table.sorted(by: { $0.name < $1.name }) {
            let threads = MonitorThread.allCases.map { call.threads.contains($0) ? "yes" : "" }
            let conditions = call.conditions.map(\.description).joined(separator: ", ")
            let cells = ["`\(call.name)`"] + threads + [conditions, call.purpose]
            text += "|" + cells.map { $0.isEmpty ? " |" : " \($0) |" }.joined() + "\n"
        }
        try replace(
            between: "<!-- calls -->", and: "<!-- end -->", by: text, in: "docs/microvm-jail.md")
    }

    private func judge(
        _ thread: MonitorThread, _ name: String, _ arguments: [UInt64] = []
    ) throws -> SeccompAction {
        let number = try #require(SystemCallTable.number(of: name))
        return try MonitorCalls.filter(of: thread).evaluate(number: number, arguments: arguments)
    }

    @Test("each call is for the threads of its row, and no other call for any")
    func rows() throws {
        let names = Set(MonitorCalls.table.map(\.name))
        for thread in MonitorThread.allCases {
            for number in 0..<500 as Range<UInt32> {
                guard let name = SystemCallTable.name(of: number) else { continue }
                let rows = MonitorCalls.table.filter {
                    $0.name == name && $0.threads.contains(thread)
                }
                let isFree = rows.contains { $0.conditions.isEmpty }
                // With arguments that no condition has.
                let action = try judge(
                    thread, name, [0xf000_0000, 0xf000_0000, 0xf000_0000, 0xf000_0000])
                #expect((action == .allow) == isFree, "\(thread) \(name)")
                if !names.contains(name) { #expect(rows.isEmpty) }
            }
        }
    }

    @Test("arguments decide where the table says so")
    func arguments() throws {
        let own = UInt64(ThisProcess.identifier)
        let cases: [(MonitorThread, String, [UInt64], Bool)] = [
            (.processor, "ioctl", [9, 0xae80], true), (.processor, "ioctl", [9, 0xae81], false),
            // KVM_CREATE_VM, KVM_SET_USER_MEMORY_REGION, TIOCSTI
            (.processor, "ioctl", [9, 0xae01], false), (.devices, "ioctl", [9, 0xae01], false),
            (.devices, "ioctl", [9, 0x4020_ae46], false), (.devices, "ioctl", [9, 0x5412], false),
            (.devices, "ioctl", [9, 0x5413], true), (.disk, "ioctl", [9, 0x5413], false),
            (.disk, "mmap", [0, 4096, 3, 0x22], true), (.disk, "mmap", [0, 4096, 7, 0x22], false),
            (.disk, "mmap", [0, 4096, 4, 0x22], false), (.disk, "mmap", [0, 4096, 3, 0x2], false),
            (.devices, "socket", [1, 0o2_004_001, 0], true),
            (.devices, "socket", [2, 0o2_004_001, 0], false),
            (.devices, "socket", [1, 0o2_004_002, 0], false),
            (.devices, "socket", [40, 0o2_004_001, 0], false),
            (.devices, "kill", [own, 9], true), (.devices, "kill", [own + 1, 9], false),
            (.devices, "kill", [.max, 9], false), (.processor, "kill", [own, 9], false),
            (.devices, "kill", [MonitorCalls.ownProcess, 9], false),
            (.devices, "tgkill", [own, 1, 10], true), (.devices, "tgkill", [own, 1, 9], false),
            (.devices, "tgkill", [1, 1, 10], false),
        ]
        for (thread, name, arguments, isAllowed) in cases {
            let action = try judge(thread, name, arguments)
            #expect(action == (isAllowed ? .allow : .killProcess), "\(thread) \(name) \(arguments)")
        }
    }
}

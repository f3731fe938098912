import Foundation
import TestSupport
import Testing

@Suite("The kernel of guests")
struct GuestKernelTests {
    private let workplace: Workplace
    private let program = PackageRoot.path("scripts/build-kernel")
    private let fragment = PackageRoot.path("rootfs/kernel/guest.config")

    init() throws { workplace = try Workplace() }

    /// The option that a line of a configuration speaks of; none in a comment.
    private func option(_ line: Substring) -> Substring? {
        if let on = line.firstMatch(of: /^(CONFIG_[A-Z0-9_]+)=\S+$/) { return on.1 }
        return line.firstMatch(of: /^# (CONFIG_[A-Z0-9_]+) is not set$/)?.1
    }

    private func sections() throws -> [[Substring]] {
        let text = try String(contentsOfFile: fragment, encoding: .utf8)
        return text.split(separator: "\n", omittingEmptySubsequences: false)
            .split(separator: "").map(Array.init)
    }

    @Test("Its fragment is sections of a comment and sorted options")
    func sorted() throws {
        for section in try sections() {
            let comment = section.prefix { option($0) == nil }
            #expect(!comment.isEmpty && comment.allSatisfy { $0.hasPrefix("# ") }, "\(section)")
            let options = section.dropFirst(comment.count).map(option)
            #expect(options.allSatisfy { $0 != nil }, "\(section)")
            let names = options.compactMap { $0 }
            #expect(names == names.sorted(), "\(section)")
        }
    }

    @Test("Its fragment has each option once")
    func once() throws {
        let names = try sections().joined().compactMap(option)
        #expect(names.count > 100)
        #expect(Set(names).count == names.count)
    }

    @Test("A configuration in which an option did not hold is refused", .needs(.bash))
    func lostOptions() throws {
        try """
        # Words.
        CONFIG_ON=y
        # CONFIG_OFF is not set
        # CONFIG_ABSENT is not set

        """.write(toFile: workplace("fragment"), atomically: true, encoding: .utf8)
        let configuration = workplace("config")
        func check(_ lines: String) throws -> RunResult {
            try lines.write(toFile: configuration, atomically: true, encoding: .utf8)
            return try run(
                program, arguments: ["--check", workplace("fragment"), configuration])
        }
        let held = try check("CONFIG_MORE=y\nCONFIG_ON=y\n# CONFIG_OFF is not set\n")
        #expect(held.succeeded, "\(held)")
        for (lines, complaint) in [
            ("CONFIG_MORE=y\n", "`CONFIG_ON=y` is not there"),
            ("CONFIG_ON=m\n", "`CONFIG_ON=y` became `CONFIG_ON=m`"),
            ("CONFIG_ON=y\nCONFIG_OFF=y\n", "`# CONFIG_OFF is not set` became `CONFIG_OFF=y`"),
        ] {
            let refused = try check(lines)
            #expect(refused.code == 1)
            #expect(refused.errorOutput.contains(complaint), "\(refused)")
        }
    }

    @Test("Its script says where it is, and builds nothing for that", .needs(.bash))
    func place() throws {
        #expect(try succeed(program, ["--print-path"]) == "build/kernel/vmlinux\n")
    }

    @Test("Its command line is one line of words, each once")
    func commandLine() throws {
        let path = PackageRoot.path("rootfs/kernel/cmdline")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.last == "\n")
        let words = text.dropLast().split(separator: " ", omittingEmptySubsequences: false)
        #expect(words.allSatisfy { $0.wholeMatch(of: /[a-z0-9_.-]+(=\S+)?/) != nil }, "\(words)")
        let names = words.map { $0.prefix { $0 != "=" } }
        #expect(Set(names).count == names.count)
    }

    @Test(
        "The scripts say what their options are, and so does the documentation",
        .needs(.bash, .python3),
        arguments: [
            ("scripts/build-kernel", ["--print-path", "--check"]),
            (
                "scripts/count-guest-instructions",
                ["--initrd", "--append", "--until", "--mark", "--at-most"]
            ),
        ])
    func options(script: String, options: [String]) throws {
        let help = try succeed(PackageRoot.path(script), ["--help"])
        let page = try String(
            contentsOfFile: PackageRoot.path("docs/microvm-kernel.md"), encoding: .utf8)
        #expect(page.contains(script))
        for option in options {
            #expect(help.contains(option), "\(option)")
            #expect(page.contains(option), "\(option)")
        }
        let refused = try run(PackageRoot.path(script), arguments: ["--no-such-option"])
        #expect(refused.code == 64 || refused.code == 2)
    }
}

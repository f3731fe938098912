import Foundation
import SandboxModel
import TestSupport
import Testing

@Suite("The initial file system of a guest", .needs(.bash, .bsdtar))
struct InitrdTests {
    private let workplace: Workplace

    init() throws {
        workplace = try Workplace()
        try workplace.make("printf 'a program' > small; truncate -s 200K large")
    }

    private func build(_ program: String, _ output: String) throws -> RunResult {
        try run(
            PackageRoot.path("rootfs/build-initrd"),
            arguments: ["--init", workplace(program), workplace(output)])
    }

    @Test("It holds the program and the console, of root and of no time")
    func contents() throws {
        let built = try build("small", "initrd")
        #expect(built.succeeded, "\(built)")
        let listed = try succeed("bsdtar", ["--numeric-owner", "-tvf", workplace("initrd")])
        let entries = listed.split(separator: "\n").map { line in
            line.split(separator: " ").filter { !["Jan", "1", "1970"].contains($0) }
        }
        #expect(
            entries == [
                ["drwxr-xr-x", "0", "0", "0", "dev"],
                ["crw-------", "0", "0", "5,1", "dev/console"],
                ["-rwxr-xr-x", "0", "0", "9", "init"],
            ], "\(listed)")
        #expect(try succeed("bsdtar", ["-xOf", workplace("initrd"), "init"]) == "a program")
        #expect(workplace.names == ["initrd", "large", "small"])
    }

    @Test("Built twice it is the same, byte for byte, and whole words long")
    func reproducible() throws {
        for name in ["one", "other"] { #expect(try build("small", name).succeeded) }
        let one = try Data(contentsOf: URL(fileURLWithPath: workplace("one")))
        #expect(try Data(contentsOf: URL(fileURLWithPath: workplace("other"))) == one)
        #expect(one.count % 4 == 0)
    }

    @Test("That of the built program is as small as promised")
    func promised() throws {
        let built = try run(
            PackageRoot.path("rootfs/build-initrd"),
            arguments: ["--init", try Products.path("alcove-init"), workplace("initrd")])
        #expect(built.succeeded, "\(built)")
        let size = try Data(contentsOf: URL(fileURLWithPath: workplace("initrd"))).count
        #expect(size <= PromisedNumbers.initrdKilobytes * 1024)
    }

    @Test("One that is too large, or of nothing, is refused, and the old one stays")
    func refused() throws {
        #expect(try build("small", "initrd").succeeded)
        let before = try Data(contentsOf: URL(fileURLWithPath: workplace("initrd")))
        let large = try build("large", "initrd")
        #expect(!large.succeeded)
        #expect(large.errorOutput.contains("more than \(PromisedNumbers.initrdKilobytes) KiB"))
        let none = try build("nothing", "initrd")
        #expect(!none.succeeded && none.errorOutput.contains("nothing"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: workplace("initrd"))) == before)
        #expect(workplace.names == ["initrd", "large", "small"])
    }
}

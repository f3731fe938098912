import Console
import Foundation
import HostReport
import TestSupport
import Testing

/// The finished program, on this host.
@Suite struct DoctorCommandTests {
    private func doctor(_ arguments: String...) throws -> RunResult {
        try run(
            Products.path("alcove"), arguments: ["doctor"] + arguments, timeout: .seconds(60))
    }

    @Test("`--json` holds every check, and agrees with the exit code")
    func json() throws {
        let result = try doctor("--json")
        let report = try JSONReader.read(result.output)
        let checks = try #require(report["checks"]?.array)
        #expect(checks.compactMap { $0["name"]?.string } == HostSubject.all.map(\.name))
        var isBlocked = false
        for check in checks {
            let state = try #require(check["state"]?.string)
            #expect(HostCheck.State(rawValue: state) != nil)
            #expect((check["remedy"]?.string == nil) == (state == "good"))
            #expect(check["found"]?.string?.isEmpty == false)
            if state == "missing", check["required"]?.bool == true { isBlocked = true }
        }
        #expect(report["can_start"]?.bool == !isBlocked)
        #expect(result.code == (isBlocked ? 69 : 0))
        #expect(result.errorOutput.isEmpty)
    }

    @Test("a guest is measured only where that was not turned off", .needs(.kvm))
    func kvm() throws {
        let measured = try JSONReader.read(try doctor("--json").output)
        #expect(try #require(measured["guest_ns_per_instruction"]?.double) > 0)
        let left = try JSONReader.read(try doctor("--json", "--no-kvm-probe").output)
        #expect(left["guest_ns_per_instruction"] == .null)
        #expect(left["isolation"]?.string == "process")
    }

    @Test("a person gets the verdict first, then every group and every title")
    func text() throws {
        let result = try doctor("--no-kvm-probe")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        for group in HostSubject.Group.allCases {
            #expect(lines.contains(Substring(group.rawValue)))
        }
        for subject in HostSubject.all {
            #expect(lines.contains { $0.contains("  \(subject.title)  ") }, "\(subject.title)")
        }
        #expect(lines[0].contains("`auto` chooses process"))
        #expect(lines[0].hasPrefix("process sandboxes start here") == (result.code == 0))
        #expect(!result.output.contains("\u{1b}"))
    }

    @Test("what is good has one line, what is not has a remedy, and `--verbose` explains all")
    func verbose() throws {
        let checks = try #require(
            try JSONReader.read(try doctor("--json", "--no-kvm-probe").output)["checks"]?.array)
        let short = Self.words(try doctor("--no-kvm-probe").output)
        let long = Self.words(try doctor("--no-kvm-probe", "--verbose").output)
        for check in checks {
            let name = check["name"]?.string ?? ""
            let meaning = try #require(check["meaning"]?.string)
            #expect(short.contains(meaning) == (check["state"]?.string != "good"), "\(name)")
            #expect(long.contains(meaning), "\(name)")
            if let remedy = check["remedy"]?.string {
                #expect(short.contains("to do: " + remedy), "\(name)")
            }
        }
    }

    /// A text without its breaks of lines and its margins.
    private static func words(_ text: String) -> String {
        text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
    }

    @Test("alcove-init is found beside the program, and in the libraries that belong to it")
    func initPlaces() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-places-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let program = folder.appendingPathComponent("bin/alcove")
        func found(_ environment: [String: String] = [:]) throws -> String? {
            let result = try run(
                program.path, arguments: ["doctor", "--json", "--no-kvm-probe"],
                environment: environment)
            let checks = try JSONReader.read(result.output)["checks"]?.array
            return checks?.first { $0["name"] == "alcove-init" }?["found"]?.string
        }
        for place in ["lib/alcove/alcove-init", "bin/alcove-init"] {
            let url = folder.appendingPathComponent(place)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Self.copy("alcove-init", to: url.path)
            if !FileManager.default.fileExists(atPath: program.path) {
                try FileManager.default.createDirectory(
                    at: program.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Self.copy("alcove", to: program.path)
            }
            #expect(try found() == url.path)
        }
        #expect(try found(["ALCOVE_INIT": "/nowhere"]) == "not at /nowhere")
    }

    /// By another process: a descriptor that was open for writing here could be in a child that
    /// another test is just starting, and the copy could not be executed then.
    private static func copy(_ product: String, to path: String) throws {
        let result = try run("/bin/cp", arguments: [Products.path(product), path])
        try #require(result.succeeded)
    }

    @Test("nothing is left of it", .needs(.cgroupV2))
    func nothingLeft() throws {
        let folder = try #require(Host.cgroupFolder)
        _ = try doctor("--no-kvm-probe")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(!left.contains { $0.hasPrefix("alcove-doctor-") && !isAlive($0) })
    }

    /// Whether the process that a cgroup is named for still runs: another test's doctor.
    private func isAlive(_ cgroup: String) -> Bool {
        let process = cgroup.split(separator: "-").last ?? ""
        return FileManager.default.fileExists(atPath: "/proc/\(process)")
    }

    @Test("the docs' table is the one of the code: `alcove doctor --markdown` prints it")
    func document() throws {
        let page = try String(contentsOfFile: PackageRoot.path("docs/doctor.md"), encoding: .utf8)
        let table = HostSubjectDocument.table()
        #expect(page.contains(table))
        #expect(try doctor("--markdown").output == table)
    }
}

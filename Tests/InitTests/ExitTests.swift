import CInitProtocol
import Foundation
import TestSupport
import Testing

/// What the tests read off a report: its kind and value.
struct Told: Equatable, CustomStringConvertible {
    let kind: UInt32
    let value: Int32
    let detail: UInt64

    init(_ kind: alcove_report_kind, _ value: Int32 = 0, detail: UInt64 = 0) {
        self.kind = kind.rawValue
        self.value = value
        self.detail = detail
    }

    init(_ report: alcove_report) {
        kind = report.kind
        value = report.value
        detail = report.detail
    }

    var description: String { "kind \(kind) value \(value) detail \(detail)" }
}

extension InitProcess {
    /// Every report after the first two: that init is ready and that the workload was started.
    func reportsAfterStart() throws -> [Told] {
        let all = allReports().map(Told.init)
        try #require(all.count >= 2)
        #expect(all[0] == Told(ALCOVE_REPORT_INIT_READY))
        #expect(all[1].kind == ALCOVE_REPORT_STARTED.rawValue && all[1].value > 0)
        return Array(all.dropFirst(2))
    }
}

func shell(_ script: String) -> [String] { ["/bin/bash", "bash", "-c", script] }

@Suite("How a workload ends", .needs(.root))
struct ExitTests {
    @Test("The exit code is kept and reported", arguments: [0, 1, 42, 255] as [Int32])
    func exitCode(code: Int32) throws {
        let process = try InitProcess(shell("exit \(code)"))
        #expect(try process.reportsAfterStart() == [Told(ALCOVE_REPORT_EXITED, code)])
        #expect(process.wait() == code)
    }

    @Test("A signal is reported, and its number is in the exit code", arguments: [false, true])
    func signal(pidNamespace: Bool) throws {
        var options = InitProcess.Options()
        options.pidNamespace = pidNamespace
        let process = try InitProcess(shell("ulimit -c 0; kill -KILL $$"), options)
        #expect(try process.reportsAfterStart() == [Told(ALCOVE_REPORT_SIGNALED, SIGKILL)])
        #expect(process.wait() == 128 + SIGKILL)
    }

    @Test("A missing program is code 127, one that cannot be executed 126")
    func execFailure() throws {
        for (path, errorNumber, code) in [
            ("/no/such/program", ENOENT, 127), ("/etc/passwd", EACCES, 126), ("/", EACCES, 126),
        ] as [(String, Int32, Int32)] {
            let process = try InitProcess([path, "name"])
            #expect(
                process.allReports().map(Told.init) == [
                    Told(ALCOVE_REPORT_INIT_READY), Told(ALCOVE_REPORT_EXEC_FAILED, errorNumber),
                ])
            #expect(process.wait() == code)
        }
    }

    @Test("Reports carry the time at which they were written, in order")
    func times() throws {
        let before = DispatchTime.now().uptimeNanoseconds
        let process = try InitProcess(["/bin/true", "true"])
        let times = process.allReports().map(\.nanoseconds)
        let after = DispatchTime.now().uptimeNanoseconds
        #expect(times.count == 3 && times == times.sorted())
        #expect(times.allSatisfy { (before...after).contains($0) })
        #expect(process.wait() == 0)
    }

    @Test("Arguments and environment reach the workload as they are")
    func passedThrough() throws {
        var options = InitProcess.Options()
        options.environment = ["A=1", "B=two words", "C="]
        let script = #"printf '%s|' "$0" "$@"; echo; echo "$A|$B|$C""#
        let process = try InitProcess(shell(script) + ["zero", "one two", "", "-d"], options)
        #expect(process.allOutput() == "zero|one two||-d|\n1|two words|")
        #expect(process.wait() == 0)
    }

    @Test(
        "A wrong argument vector starts nothing",
        arguments: [
            ["/bin/true"], ["x", "-", "-", "/bin/true", "true"], ["2", "-", "-", "/bin/true", "t"],
            ["-", "3x", "-", "/bin/true", "t"], ["-", "-", "q", "/bin/true", "t"],
            ["", "-", "-", "/bin/true", "t"], ["-", "-", "", "/bin/true", "t"],
            ["5", "5", "-", "/bin/true", "t"], ["-", "-", "d", "/bin/true", "t"],
            ["99999999999", "-", "-", "/bin/true", "t"], ["-", "-", "-", "/bin/true"],
            ["3", "-", "l", "/bin/true", "t"], ["3", "-", "l", "65536", "-", "/bin/true"],
            ["3", "-", "l", "65535", "-", "/bin/true", "t"],
            ["3", "-", "ld", "65536", "-", "/bin/true", "t"],
            ["3", "-", "l", "6553x", "-", "/bin/true", "t"],
            ["3", "-", "l", "", "-", "/bin/true", "t"],
            ["3", "-", "l", "99999999999999999999", "-", "/bin/true", "t"],
            ["3", "-", "l", "65536", "", "/bin/true", "t"],
            ["3", "-", "l", "65536", "7", "/bin/true", "t"],
            ["3", "-", "l", "65536", "7:1", "/bin/true", "t"],
            ["3", "-", "l", "65536", "7:2:1", "/bin/true", "t"],
            ["3", "-", "l", "65536", "7:1:2,", "/bin/true", "t"],
            ["3", "-", "l", "65536", "64:1:2", "/bin/true", "t"],
            ["3", "-", "l", "65536", "7:1:2;4:1:1", "/bin/true", "t"],
        ])
    func usage(words: [String]) throws {
        let process = Process()
        process.executableURL = InitProcess.program
        process.arguments = words
        let pipe = Foundation.Pipe()
        process.standardError = pipe
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 64)
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.hasPrefix("usage: alcove-init "))
    }
}

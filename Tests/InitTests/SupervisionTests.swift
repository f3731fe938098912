import CInitProtocol
import CInitTesting
import Foundation
import TestSupport
import Testing

@Suite("Supervision", .needs(.root))
struct SupervisionTests {
    private static func asFirstProcess(_ change: (inout InitProcess.Options) -> Void = { _ in })
        -> InitProcess.Options
    {
        var options = InitProcess.Options()
        options.pidNamespace = true
        change(&options)
        return options
    }

    @Test("The workload is process 2, and the report says so")
    func firstProcess() throws {
        let process = try InitProcess(shell("echo $$ $PPID"), Self.asFirstProcess())
        #expect(process.allOutput() == "2 1")
        #expect(process.nextReport().map(Told.init) == Told(ALCOVE_REPORT_INIT_READY))
        #expect(process.nextReport().map(Told.init) == Told(ALCOVE_REPORT_STARTED, 2))
        #expect(process.wait() == 0)
    }

    @Test("Orphans are reaped, more than are taken at once")
    func orphans() throws {
        let process = try InitProcess(
            shell(
                """
                for ((i = 0; i < 100; i++)); do (true &); done
                until [ $# = 2 ]; do set -- /proc/[0-9]*; done
                echo none
                """), Self.asFirstProcess())
        #expect(process.nextLine() == "none")
        #expect(try process.reportsAfterStart() == [Told(ALCOVE_REPORT_EXITED, 0)])
        #expect(process.wait() == 0)
    }

    @Test("What the workload leaves behind ends with it")
    func leftBehind() throws {
        let process = try InitProcess(
            shell("trap '' TERM HUP; sleep 1000 & exit 3"), Self.asFirstProcess())
        #expect(process.wait() == 3)
        #expect(process.nextLine() == nil)
    }

    @Test("With `d` everything is killed when the reader of the reports goes")
    func diesWithReader() throws {
        let process = try InitProcess(
            shell("trap '' TERM; sleep 1000 & echo ready; while :; do wait; done"),
            Self.asFirstProcess { $0.letters = "d" })
        #expect(process.nextLine() == "ready")
        process.closeReports()
        #expect(process.wait() == 128 + SIGKILL)
        #expect(process.nextLine() == nil)
    }

    @Test("Run by hand with `d` it kills the workload and nothing else")
    func diesWithReaderByHand() throws {
        var options = InitProcess.Options()
        options.pidNamespace = false
        options.letters = "d"
        let process = try InitProcess(shell("echo ready; exec sleep 1000"), options)
        #expect(process.nextLine() == "ready")
        process.closeReports()
        #expect(process.wait() == 128 + SIGKILL)
        #expect(process.nextLine() == nil)
    }

    @Test("Without `d` the workload goes on without a reader", arguments: [false, true])
    func goesOn(goneAtStart: Bool) throws {
        let process = try InitProcess(
            shell("trap 'echo broken pipe' PIPE; echo ready; read -r line; echo $line; exit 5"),
            Self.asFirstProcess { $0.readerGoneAtStart = goneAtStart })
        #expect(process.nextLine() == "ready")
        process.closeReports()
        process.write("still here\n")
        #expect(process.allOutput() == "still here")
        #expect(process.wait() == 5)
    }

    @Test("A reader of the workload's output sees its end while the sandbox lives")
    func endOfOutput() throws {
        let process = try InitProcess(shell("echo last; exec 1>&- 2>&-; exec sleep 1000"))
        #expect(process.nextLine() == "last")
        #expect(process.nextLine() == nil)
        #expect(kill(process.pid, 0) == 0)
    }

    @Test("A running init holds its report pipe and its signals, and little memory")
    func holdsLittle() throws {
        var options = Self.asFirstProcess()
        options.stray = true
        let process = try InitProcess(
            shell("trap 'echo settled' USR1; sleep 1000 & echo ready; while :; do wait; done"),
            options)
        #expect(process.nextLine() == "ready")
        #expect(process.lineAfter(SIGUSR1) == "settled")
        let descriptors = try process.descriptors()
        #expect(descriptors[Int(CINITTESTING_REPORT)]?.hasPrefix("pipe:") == true)
        #expect(descriptors.values.filter { $0 == "anon_inode:[signalfd]" }.count == 1)
        #expect(descriptors.count == 2, "\(descriptors)")
    }

    @Test("The workload cannot look into its init")
    func hidden() throws {
        let process = try InitProcess(
            shell(
                """
                for name in exe fd environ mem maps; do
                    ls -L /proc/1/$name/ 2>/dev/null && echo listed $name
                    cat /proc/1/$name > /dev/null 2>&1 && echo read $name
                done
                cat /proc/self/environ > /dev/null && echo end
                """), Self.asFirstProcess { $0.unprivileged = true })
        #expect(process.allOutput() == "end")
        #expect(process.wait() == 0)
    }

    @Test("The workload cannot end its init by a signal that is not passed on")
    func workloadKillsInit() throws {
        let process = try InitProcess(
            shell("trap '' TERM; kill -KILL 1; kill -STOP 1; kill -TERM 1; exit 4"),
            Self.asFirstProcess())
        #expect(process.wait() == 4)
    }
}

@Suite("Denied calls", .needs(.root))
struct DeniedCallTests {
    private var options: InitProcess.Options {
        var options = InitProcess.Options()
        options.pidNamespace = true
        options.deniedCall = cinittesting_sethostname_number()
        return options
    }

    @Test("The maker of a denied call is killed, and the call is named")
    func killed() throws {
        let process = try InitProcess(shell("hostname nowhere; echo code $?; exit 9"), options)
        let reports = try process.reportsAfterStart()
        try #require(reports.count == 2)
        #expect(reports[0].kind == ALCOVE_REPORT_DENIED.rawValue)
        #expect(reports[0].value == cinittesting_sethostname_number())
        #expect(reports[0].detail & 0xffff_ffff == 3)
        #if arch(x86_64)
            #expect(reports[0].detail >> 32 == 0xc000_003e)
        #endif
        #expect(reports[1] == Told(ALCOVE_REPORT_EXITED, 9))
        #expect(process.allOutput().contains("code 137"))
        #expect(process.wait() == 9)
    }

    @Test("When the workload itself made it, the report of the call comes first")
    func workload() throws {
        let process = try InitProcess(["/bin/hostname", "hostname", "nowhere"], options)
        let reports = try process.reportsAfterStart()
        #expect(
            reports.map(\.kind) == [ALCOVE_REPORT_DENIED, ALCOVE_REPORT_SIGNALED].map(\.rawValue))
        #expect(reports.last?.value == SIGKILL)
        #expect(process.wait() == 128 + SIGKILL)
    }

    @Test("A flood of denied calls gives 16 reports, and every maker is killed")
    func flood() throws {
        let process = try InitProcess(
            shell("for ((i = 0; i < 40; i++)); do hostname x 2>/dev/null; echo $?; done"), options)
        let reports = try process.reportsAfterStart()
        #expect(
            reports.dropLast().map(\.kind)
                == Array(repeating: ALCOVE_REPORT_DENIED.rawValue, count: 16))
        #expect(reports.last == Told(ALCOVE_REPORT_EXITED, 0))
        let codes = process.allOutput().split(separator: "\n").filter { $0.allSatisfy(\.isNumber) }
        #expect(codes == Array(repeating: "137", count: 40))
        #expect(process.wait() == 0)
    }

    @Test("With a listener, init holds it and nothing more; it sleeps when nothing happens")
    func descriptors() throws {
        let process = try InitProcess(
            shell("trap 'echo settled' USR1; sleep 1000 & echo ready; while :; do wait; done"),
            options)
        #expect(process.nextLine() == "ready")
        #expect(process.lineAfter(SIGUSR1) == "settled")
        let kinds = try process.descriptors().values.map { String($0.prefix { $0 != "[" }) }
        #expect(kinds.filter { $0 == "anon_inode:" }.count >= 1 && kinds.count == 3, "\(kinds)")
    }
}

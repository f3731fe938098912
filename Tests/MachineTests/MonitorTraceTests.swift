import Foundation
import KVM
import LinuxKernel
import Machine
import TestSupport
import Testing

/// Runs the finished monitor under strace through what it does.
@Suite struct MonitorTraceTests {
    /// Rows that these runs need not come by, each with its reason.
    private static let rare: [String: String] = [
        "brk": "the heap may have room enough",
        "mmap": "the heap may have room enough",
        "munmap": "the heap may have room enough",
        "gettid": "all values may have been made before",
        "clock_gettime": "the kernel's page tells the time where the clock is good",
        "restart_syscall": "somebody must stop the process in a wait",
        "ppoll": "a processor waits only where standard error is full",
        "pwrite64": "the file system must be one that cannot clear a part",
        "rt_sigprocmask": "the process may end before the thread has",
        "madvise": "memory of a file is given back by the other row; the process may end early",
        "exit": "the process may end before the thread has",
    ]

    private static let offload: [MonitorCondition] = [
        .equals(argument: 1, 0x4004_54d0, "TUNSETOFFLOAD")
    ]

    /// Requests to KVM that most machines need not make when they are saved.
    private static let rareRequests: [[MonitorCondition]] = [
        ProcessorRequest.largeExtendedState, .intervalTimer,
    ].map { [.equals(argument: 1, $0.number, $0.rawValue)] }

    private struct Place {
        let path = FileManager.default.temporaryDirectory.path + "/alcove-trace-\(UUID())"

        init(_ kernel: TinyKernel) throws {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
            try Data(kernel.file).write(to: url("kernel"))
            try Data([1]).write(to: url("files"))
            try Data(count: 4 << 20).write(to: url("disk"))
            try Data(count: 1 << 20).write(to: url("layer"))
        }

        func url(_ name: String) -> URL { URL(fileURLWithPath: "\(path)/\(name)") }

        func trace(_ name: String = "trace") throws -> CallTrace {
            CallTrace(try String(contentsOf: url(name), encoding: .utf8))
        }

        func remove() { try? FileManager.default.removeItem(atPath: path) }

        func arguments(_ further: [String] = []) throws -> [String] {
            try words() + further + ["--", "workload"]
        }

        /// Without the command in the guest.
        func words() throws -> [String] {
            [
                "-f", "-o", "\(path)/trace", try Products.path("alcove-vmm"), "run",
                "--boot", "pvh", "--memory", "8MiB", "--cpus", "2", "--kernel", "\(path)/kernel",
                "--initial-files", "\(path)/files", "--layer", "\(path)/layer",
                "--scratch-disk", "\(path)/disk", "--console",
            ]
        }
    }

    private func ask(
        _ word: String, _ place: Place, _ more: [String] = []
    ) throws -> String {
        let result = try run(
            Products.path("alcove-vmm"),
            arguments: ["control", "--control", "\(place.path)/control", word] + more)
        #expect(result.succeeded, "\(word): \(result)")
        return result.output
    }

    private func readToEnd(_ socket: borrowing Descriptor) throws -> String {
        var all: [UInt8] = []
        while true {
            var interests = [Readiness.Interest(socket.rawValue)]
            try Readiness.wait(for: &interests)
            let bytes = try socket.read(atMost: 4096)
            if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
    }

    /// A monitor through all that it does while its guest runs.
    private func live(_ place: Place) throws {
        let listener = try ListeningSocket(
            path: "\(place.path)/sockets_\(BusyKernel.hostPort)", mode: 0o600)
        let child = try ChildProcess(
            "strace",
            arguments: place.arguments([
                "--terminal", "--control", "\(place.path)/control",
                "--sockets", "\(place.path)/sockets",
            ]), wiring: .terminal(rows: 20, columns: 70))
        try child.waitForOutput("hello")
        #expect(child.output.contains("booted"))
        guard let connection = try UnixSockets.accept(listener.descriptor) else {
            Issue.record("the guest's connection did not come")
            return
        }
        #expect(try readToEnd(connection) == "to the host")

        try child.resize(rows: 21, columns: 71)
        child.write("typed")
        #expect(try ask("state", place).contains("running"))
        _ = try ask("pause", place)
        let statistics = try ask("statistics", place)
        #expect(statistics.contains(#""calls":true"#), "\(statistics)")
        if let version = Landlock.version {
            #expect(statistics.contains(#""landlock":\#(version)"#), "\(statistics)")
        }
        _ = try ask("resume", place)
        #expect(try ask("snapshot", place, ["\(place.path)/snapshot"]).contains("pages"))
        // One that does not say to which port.
        let stranger = try UnixSockets.make()
        try UnixSockets.connect(stranger, to: "\(place.path)/sockets")
        try stranger.writeAll(Array("HELLO\n".utf8))
        #expect(try readToEnd(stranger).isEmpty)
        _ = try ask("stop", place)
        let result = try child.finish()
        #expect(result.ending == .signalled(signal: 9), "\(result)")
    }

    /// One whose guest fails.
    private func fail() throws -> CallTrace {
        var kernel = TinyKernel()
        kernel.guest.fail()
        let place = try Place(kernel)
        defer { place.remove() }
        let result = try run("strace", arguments: place.arguments())
        #expect(result.ending == .exited(code: 125), "\(result)")
        #expect(result.errorOutput.contains("triple fault"))
        return try place.trace()
    }

    @Test(
        "a monitor makes the calls of the table, each on its threads, and needs every row",
        .needs(.kvm, .strace))
    func table() throws {
        let place = try Place(BusyKernel().kernel)
        defer { place.remove() }
        try live(place)
        let traces = [try place.trace(), try fail()]
        for trace in traces {
            #expect(trace.fenced == [.devices: 1, .processor: 2, .disk: 2])
            for call in trace.calls {
                #expect(
                    MonitorCalls.table.contains { $0.permits(call) },
                    "\(call.thread): \(call.text)")
            }
        }
        let calls = traces.flatMap(\.calls)
        #expect(calls.count > 200)
        for row in MonitorCalls.table {
            let isOfLink = row.name == "writev" || row.conditions == Self.offload
            let isRare =
                Self.rare[row.name] != nil || Self.rareRequests.contains(row.conditions)
            for thread in row.threads where !isRare && !isOfLink {
                #expect(
                    calls.contains { $0.thread == thread && row.permits($0) },
                    "no \(thread) made \(row.name) \(row.conditions.map(\.description))")
            }
        }
        let names = Set(MonitorCalls.table.map(\.name))
        for name in Self.rare.keys { #expect(names.contains(name)) }
    }

    /// Makes a link, hands it over to a program in another network namespace, and says in the end
    /// whether the guest's frame of zeroes came out of it.
    private static let handOver = """
        import fcntl, socket, struct, subprocess, sys
        tap = open("/dev/net/tun", "r+b", buffering=0)
        fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", b"link", 0x5002))
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"link", 0x41))
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        frames.bind(("link", 0))
        words = ["unshare", "--net", *sys.argv[1:], "--tap-descriptor", str(tap.fileno())]
        code = subprocess.run([*words, "--", "workload"], pass_fds=[tap.fileno()]).returncode
        frames.setblocking(False)
        try:
            while frames.recv(4096) != bytes(60):
                pass
            print("the frame came")
        except BlockingIOError:
            print("no frame came")
        sys.exit(code)
        """

    @Test(
        "a monitor whose guest has a link makes calls of the table, and needs those of the link",
        .needs(.kvm, .strace, .netAdmin, .tun, .python3), arguments: [false, true])
    func link(isHandedOver: Bool) throws {
        let place = try Place(SendingKernel().kernel)
        defer { place.remove() }
        // The link is made in a namespace that ends with the monitor.
        let result =
            isHandedOver
            ? try run(
                "unshare",
                arguments: ["--net", "python3", "-c", Self.handOver, "strace"] + place.words())
            : try run(
                "unshare", arguments: ["--net", "strace"] + place.arguments(["--tap", "link"]))
        #expect(result.ending == .exited(code: 125), "\(result)")
        #expect(result.errorOutput.contains("the guest reset itself"), "\(result)")
        #expect(!isHandedOver || result.output == "the frame came\n", "\(result)")
        let trace = try place.trace()
        for call in trace.calls {
            #expect(
                MonitorCalls.table.contains { $0.permits(call) }, "\(call.thread): \(call.text)")
        }
        let rows = MonitorCalls.table.filter {
            $0.name == "writev" || $0.conditions == Self.offload
        }
        #expect(rows.count == 2)
        for row in rows {
            #expect(trace.calls.contains { row.permits($0) }, "\(row.name) was not made")
        }
    }

    @Test(
        "a monitor that goes on with a snapshot makes calls of the table", .needs(.kvm, .strace),
        arguments: ["--restore", "--await-snapshot"])
    func restored(way: String) throws {
        let place = try Place(BusyKernel().kernel)
        defer { place.remove() }
        try live(place)
        let isLater = way == "--await-snapshot"
        let further =
            isLater
            ? [way, "--memory", "8MiB", "--cpus", "2"]
            : [way, "\(place.path)/snapshot", "--hold", "--record-working-set"]
        let child = try ChildProcess(
            "strace",
            arguments: [
                "-f", "-o", "\(place.path)/second", try Products.path("alcove-vmm"), "run",
                "--layer", "\(place.path)/layer", "--scratch-disk", "\(place.path)/disk",
                "--console", "--control", "\(place.path)/control", "--timeline",
            ] + further + ["--", "workload"], wiring: .terminal(rows: 20, columns: 70))
        try child.waitForOutput("held")
        _ =
            try isLater
            ? ask("restore", place, ["\(place.path)/snapshot"]) : ask("start", place)
        // The workload's end is the guest's: it was started before it was saved.
        #expect(try ask("state", place).contains("running"))
        if !isLater {
            let told = try ask("working-set", place, ["\(place.path)/snapshot"])
            #expect(told.contains("pieces"))
        }
        #expect(try ask("statistics", place).contains(#""calls":true"#))
        _ = try ask("stop", place)
        #expect(try child.finish().ending == .signalled(signal: 9))
        let trace = try place.trace("second")
        #expect(trace.fenced == [.devices: 1, .processor: 2, .disk: 2])
        for call in trace.calls {
            #expect(
                MonitorCalls.table.contains { $0.permits(call) }, "\(call.thread): \(call.text)")
        }
    }

    @Test(
        "a virtio console says what came first, drops the rest, and makes calls of the table",
        .needs(.kvm, .strace))
    func console() throws {
        let place = try Place(TalkingKernel().kernel)
        defer { place.remove() }
        let words = try place.words().filter { $0 != "--console" }
        let result = try run("strace", arguments: words + ["--virtio-console", "--", "workload"])
        #expect(result.ending == .exited(code: 125), "\(result.ending)")
        #expect(result.errorOutput.contains("by a port\nby virtio\n"))
        #expect(result.errorOutput.contains("the guest reset itself"))
        // The guest has said all of it, and did not wait for it to be read.
        #expect(result.errorBytes.count < TalkingKernel.bytes / 2)
        for call in try place.trace().calls {
            #expect(
                MonitorCalls.table.contains { $0.permits(call) }, "\(call.thread): \(call.text)")
        }
    }
}

internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// Whether a real sandbox starts here, found out by starting one.
public enum SandboxTrial: Hashable, Sendable {
    case notTried(reason: String)
    /// A workload ran and ended well, this long after it was asked for.
    case started(nanoseconds: UInt64)
    case failed(reason: String)

    private static let patience = Duration.seconds(10)

    /// Starts a sandbox whose image is the directory that holds a program, and runs that with the
    /// argument `version`.
    static func run(program: String, initProgram: String) -> SandboxTrial {
        do {
            return try start(program: program, initProgram: initProgram)
        } catch {
            return .failed(reason: "\(error)")
        }
    }

    private static func start(program: String, initProgram: String) throws -> SandboxTrial {
        guard let slash = program.lastIndex(of: "/") else {
            return .notTried(reason: "`\(program)` is no whole path")
        }
        let folder = slash == program.startIndex ? "/" : String(program[..<slash])
        let spec = SandboxSpec(image: folder, command: [String(program[slash...]), "version"])
        let begin = MonotonicClock.nanoseconds
        let host = try SandboxHost(initProgram: initProgram, limits: [])
        let sandbox = try PreparedSandbox(
            spec, image: try ImageTree.open(folder), on: host)
        let nothing = try Files.open("/dev/null", .readWrite).raised(toAtLeast: 10)
        let stream = nothing.rawValue
        let running = try sandbox.start(streams: (stream, stream, stream))
        let outcome = try wait(for: running)
        let end = MonotonicClock.nanoseconds
        switch outcome.ending {
        case .ended(.exited(code: 0)): return .started(nanoseconds: end - begin)
        case .ended(.exited(let code)): return .failed(reason: "its workload exited with \(code)")
        case .ended(.signaled(_, let name)): return .failed(reason: "\(name) ended its workload")
        case .denied(let call, _, _): return .failed(reason: "it made the denied call `\(call)`")
        case .outOfMemory: return .failed(reason: "it ran out of memory")
        case .timedOut: return .failed(reason: "it did not end within \(patience)")
        case .failed(let error): return .failed(reason: "\(error)")
        }
    }

    private static func wait(for running: RunningSandbox) throws -> SandboxOutcome {
        let timer = try Timer()
        try timer.start(patience)
        var isLate = false
        while true {
            var interests = [
                Readiness.Interest(running.processDescriptor),
                Readiness.Interest(isLate ? -1 : timer.descriptor.rawValue),
            ]
            try Readiness.wait(for: &interests)
            if interests[0].isReady, let outcome = try running.finish() { return outcome }
            if interests[1].isReady {
                isLate = true
                running.markTimedOut()
                try running.kill()
            }
        }
    }
}

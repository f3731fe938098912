public import JSON
internal import LinuxKernel
public import SandboxModel

/// Asks a running monitor for something. A call takes as long as the monitor does, a moment, and
/// is made on any thread but the loop's.
public struct MonitorSocket {
    /// The sandbox's first process: through it the jail's files are seen.
    private let pid: Int32

    public init(pid: Int32) { self.pid = pid }

    private static let longestAnswer = 1 << 20
    private static let patience = Duration.seconds(10)

    /// Gives the monitor's answer.
    @discardableResult
    public func ask(_ word: String, _ numbers: [String: Int64] = [:]) throws(SandboxError)
        -> JSONValue
    {
        var request = JSONObject()
        request["do"] = .string(word)
        for (name, number) in numbers { request[name] = .integer(number) }
        let line = JSONWriter.text(.object(request)) + "\n"
        let answer: [UInt8]
        do throws(SystemCallError) {
            answer = try exchange(Array(line.utf8))
        } catch {
            throw SandboxError(
                .unavailable, "reach the monitor of the microVM: \(error)",
                hint: "it may be ending; `alcove ps` says")
        }
        guard let value = try? JSONReader.read(answer), value["ok"]?.bool == true else {
            let value = try? JSONReader.read(answer)
            throw SandboxError(
                .unavailable,
                "the monitor of the microVM refused: \(value?["error"]?.string ?? "no answer")")
        }
        return value
    }

    private func exchange(_ line: [UInt8]) throws(SystemCallError) -> [UInt8] {
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: "/proc/\(pid)/root\(GuestJail.Place.control)")
        try socket.writeAll(line)
        let timer = try Timer()
        try timer.start(Self.patience)
        var answer: [UInt8] = []
        while answer.last != 0x0a, answer.count < Self.longestAnswer {
            var interests = [
                Readiness.Interest(socket.rawValue), Readiness.Interest(timer.descriptor.rawValue),
            ]
            try Readiness.wait(for: &interests)
            guard interests[0].isReady else {
                throw SystemCallError(call: "read", subject: "monitor", errorNumber: .timedOut)
            }
            let more = try socket.read(atMost: 65536)
            if more.isEmpty { break }
            answer += more
        }
        return answer
    }
}

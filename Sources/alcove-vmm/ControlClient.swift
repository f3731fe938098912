internal import Console
internal import JSON
internal import LinuxKernel

/// The command line of `alcove-vmm control`.
enum ControlFlags {
    static let command = Command(
        "control", of: "alcove-vmm", summary: "ask something of a running monitor",
        discussion:
            "Prints the answer, a JSON object. The exit code is 1 when the monitor refused.",
        flags: [
            Flag("control", value: "PATH", default: "/run/control", help: "the monitor's socket")
        ],
        arguments: [
            Argument(
                "WORD",
                help:
                    "start, state, machine, pause, resume, stop, statistics, balloon, limits, disk,"
                    + " processes"),
            Argument(
                "NAME=VALUE", required: false, repeatable: true, help: "what it is done with"),
        ])
}

/// One question and its answer.
enum ControlClient {
    private static let mostAnswer = 1 << 20

    static func run(_ parsed: ParsedCommand) throws -> Int32 {
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: parsed.string("control") ?? "")
        var request = JSONObject()
        request["do"] = .string(parsed.argument("WORD") ?? "")
        for pair in parsed.arguments("NAME=VALUE") {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw FlagError("an argument is no NAME=VALUE") }
            request[parts[0]] = Int64(parts[1]).map { JSONValue($0) } ?? .string(parts[1])
        }
        try socket.writeAll(
            Array((JSONWriter.text(.object(request)) + "\n").utf8))
        var answer: [UInt8] = []
        while answer.last != 0x0a, answer.count < mostAnswer {
            var interests = [Readiness.Interest(socket.rawValue)]
            try Readiness.wait(for: &interests)
            let more = try socket.read(atMost: 65536)
            if more.isEmpty { break }
            answer += more
        }
        StandardStream.output.write(answer)
        let value = try? JSONReader.read(answer.dropLast().map { $0 })
        return value?["ok"]?.bool == true ? 0 : 1
    }
}

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
                    "start, begin, state, machine, pause, resume, stop, statistics, balloon,"
                    + " limits, disk, processes, snapshot, restore,"
                    + " working-set"),
            Argument(
                "NAME=VALUE", required: false, repeatable: true,
                help: "what it is done with; a folder, for those of snapshots"),
        ])
}

/// One question and its answer.
enum ControlClient {
    private static let mostAnswer = 1 << 20

    static func run(_ parsed: ParsedCommand) throws -> Int32 {
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: parsed.string("control") ?? "")
        let word = parsed.argument("WORD") ?? ""
        var arguments = parsed.arguments("NAME=VALUE")
        var folder: String?
        if ["snapshot", "restore", "working-set"].contains(word) {
            guard !arguments.isEmpty else { throw FlagError("`\(word)` needs a folder") }
            folder = arguments.removeFirst()
        }
        var request = JSONObject()
        request["do"] = .string(word)
        if word == "snapshot", arguments == ["changes"] {
            request["changes"] = true
            arguments = []
        }
        if word == "restore", let base = arguments.first {
            arguments.removeFirst()
            let file = try Files.open("\(base)/\(SnapshotFolder.memory)", .readOnly)
            guard try pass(file, as: SnapshotFolder.base, on: socket) else { return 1 }
        }
        for pair in arguments {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw FlagError("an argument is no NAME=VALUE") }
            request[parts[0]] = Int64(parts[1]).map { JSONValue($0) } ?? .string(parts[1])
        }
        switch (word, folder) {
        case ("snapshot", let folder?): return try snapshot(to: folder, request, on: socket)
        case ("working-set", let folder?): return try record(in: folder, request, on: socket)
        case (_, let folder?):
            for name in [SnapshotFolder.memory, SnapshotFolder.state] {
                let file = try Files.open("\(folder)/\(name)", .readOnly)
                guard try pass(file, as: name, on: socket) else { return 1 }
            }
            let set = try? Files.open("\(folder)/\(SnapshotFolder.workingSet)", .readOnly)
            if let set { _ = try pass(set, as: SnapshotFolder.workingSet, on: socket) }
        default: break
        }
        return try ask(request, on: socket, shows: true) ? 0 : 1
    }

    /// The folder is there when all of it is.
    private static func snapshot(
        to path: String, _ request: JSONObject, on socket: borrowing Descriptor
    ) throws -> Int32 {
        let names = [SnapshotFolder.memory, SnapshotFolder.state]
        let folder = try NewFolder.make(path, files: names)
        do {
            for name in names {
                guard try pass(folder.make(name), as: name, on: socket) else {
                    folder.abandon()
                    return 1
                }
            }
            guard try ask(request, on: socket, shows: true) else {
                folder.abandon()
                return 1
            }
        } catch {
            folder.abandon()
            throw error
        }
        try folder.finish()
        return 0
    }

    /// The file is there when all of it is.
    private static func record(
        in path: String, _ request: JSONObject, on socket: borrowing Descriptor
    ) throws -> Int32 {
        let (name, partial) = (SnapshotFolder.workingSet, ".\(SnapshotFolder.workingSet)")
        let folder = try Files.open(path, [.readOnly, .directory])
        let file = try Files.open(
            partial, at: folder, [.readWrite, .create, .truncate], permissions: 0o600)
        guard try pass(file, as: name, on: socket), try ask(request, on: socket, shows: true) else {
            try Files.removeFile(partial, at: folder)
            return 1
        }
        try Files.rename(partial, at: folder, to: name, at: folder)
        return 0
    }

    /// Whether the monitor took the file.
    private static func pass(
        _ file: borrowing Descriptor, as name: String, on socket: borrowing Descriptor
    ) throws -> Bool {
        let line = JSONWriter.text(["do": "file", "as": .string(name)]) + "\n"
        try MessageSockets.send(Array(line.utf8), passing: [file.rawValue], to: socket)
        return try readAnswer(socket, shows: false)
    }

    private static func ask(
        _ request: JSONObject, on socket: borrowing Descriptor, shows: Bool
    ) throws -> Bool {
        try socket.writeAll(Array((JSONWriter.text(.object(request)) + "\n").utf8))
        return try readAnswer(socket, shows: shows)
    }

    /// Whether it says that it is done. One that says why not is shown in any case.
    private static func readAnswer(_ socket: borrowing Descriptor, shows: Bool) throws -> Bool {
        var answer: [UInt8] = []
        while answer.last != 0x0a, answer.count < mostAnswer {
            var interests = [Readiness.Interest(socket.rawValue)]
            try Readiness.wait(for: &interests)
            let more = try socket.read(atMost: 65536)
            if more.isEmpty { break }
            answer += more
        }
        let isDone = (try? JSONReader.read(answer.dropLast().map { $0 }))?["ok"]?.bool == true
        if shows || !isDone { StandardStream.output.write(answer) }
        return isDone
    }
}

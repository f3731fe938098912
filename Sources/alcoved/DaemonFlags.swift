internal import Agent
internal import Console
internal import LinuxKernel

/// What the daemon is told on its command line.
struct DaemonFlags {
    var settings = NodeSettings()
    let socket: String
    let death: DeathAt?

    static let command = Command(
        "alcoved", summary: "the agent of a node",
        flags: [
            Flag(
                "socket", value: "PATH", default: "/run/alcove/agent.sock", help: "where it serves"),
            Flag(
                "state", value: "DIR", default: "/var/lib/alcove", help: "of its record"
            ),
            Flag(
                "cgroup", value: "NAME", default: "alcoved", help: "of all its sandboxes"
            ),
            Flag("control-plane", value: "PATH", help: "socket of the control plane"),
            Flag("init", value: "PATH", help: "path of alcove-init"),
            Flag("die-at", value: "STEP[:N]", help: "die at a step, for tests of recovery"),
            Flag("list-steps", help: "print the steps"),
            Flag("version", help: "print the version"),
        ])

    init(_ parsed: ParsedCommand) throws {
        socket = parsed.string("socket") ?? ""
        settings.stateDirectory = parsed.string("state") ?? settings.stateDirectory
        settings.cgroupParent = parsed.string("cgroup") ?? settings.cgroupParent
        settings.controlPlane = parsed.string("control-plane")
        settings.initProgram = parsed.string("init") ?? settings.initProgram
        death = try parsed.string("die-at").map { text in
            let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
            guard let step = Step(rawValue: parts[0]),
                let occurrence = parts.count == 1 ? 1 : Int(parts[1]), occurrence > 0
            else { throw parsed.refuse("die-at", "is no step") }
            return DeathAt(step: step, occurrence: occurrence)
        }
    }

    var socketDirectory: String {
        String(socket[..<(socket.lastIndex(of: "/") ?? socket.startIndex)])
    }
}

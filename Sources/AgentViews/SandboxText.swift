public import AgentAPI
internal import Console

/// Sandboxes for people.
public enum SandboxText {
    /// A row for each. A limit that does not hold stands in parentheses.
    ///
    /// - Parameters:
    ///   - now: nanoseconds since 1970.
    ///   - width: the most characters in a line.
    public static func table(_ sandboxes: [Sandbox], now: Int64, width: Int? = nil) -> String {
        var table = TextTable(
            header: ["ID", "STATE", "IMAGE", "CPUS", "MEMORY", "PIDS", "AGE", "COMMAND"],
            alignments: [.left, .left, .left, .right, .right, .right, .right, .left])
        for sandbox in sandboxes {
            table.add(
                [sandbox.id, state(sandbox), sandbox.spec?.image ?? ""] + limits(sandbox) + [
                    TimeText.age(since: sandbox.createdAtNanoseconds, now: now),
                    command(sandbox.spec?.command ?? []),
                ])
        }
        return table.render(width: width)
    }

    /// `running`, `stopped: exited with 3`.
    public static func state(_ sandbox: Sandbox) -> String {
        guard sandbox.state.isOver, let outcome = sandbox.outcome else {
            return sandbox.state.label
        }
        return "\(sandbox.state.label): \(ending(outcome))"
    }

    /// How it ended, in few words.
    public static func ending(_ outcome: Outcome) -> String {
        switch outcome.ending?.how {
        case .ended(let exit): self.exit(exit)
        case .denied(let denied): "killed by the denied call \(denied.call)"
        case .outOfMemory: "out of memory"
        case .timedOut: "timed out"
        case .failed(let failed): failed.message
        case nil: "ended with \(outcome.exitCode)"
        }
    }

    static func exit(_ exit: Exit) -> String {
        switch exit.how {
        case .code(let code): "exited with \(code)"
        case .signal(let signal):
            "ended by \(signal.name.isEmpty ? "signal \(signal.number)" : signal.name)"
        case nil: "ended"
        }
    }

    private static func limits(_ sandbox: Sandbox) -> [String] {
        let limits = sandbox.spec?.limits
        let cells: [(LimitKind, String?)] = [
            (.cpu, limits?.milliCPUs.map { AmountText.cpus(UInt64($0)) }),
            (.memory, limits?.memoryBytes.map(AmountText.bytes)),
            (.pids, limits?.pids.map { "\($0)" }),
        ]
        return cells.map { kind, text in
            guard let text else { return "" }
            let holds = sandbox.limits.first { $0.kind == kind }?.holds ?? true
            return holds ? text : "(\(text))"
        }
    }

    /// A command as one would type it.
    static func command(_ words: [String]) -> String {
        words.map { word in
            let isPlain =
                !word.isEmpty
                && word.unicodeScalars.allSatisfy {
                    !" \t\n'\"\\$`*?;&|<>()#".unicodeScalars.contains($0)
                }
            let parts = word.split(separator: "'", omittingEmptySubsequences: false)
            return isPlain ? word : "'" + parts.joined(separator: "'\\''") + "'"
        }.joined(separator: " ")
    }

    /// The warnings that go with a sandbox: limits that do not hold.
    public static func warnings(_ sandbox: Sandbox) -> [String] {
        sandbox.limits.filter { !$0.holds }.map {
            "the \(label($0.kind)) limit of \($0.request) does not hold: \($0.reason)"
        }
    }

    static func label(_ kind: LimitKind) -> String {
        switch kind {
        case .memory: "memory"
        case .cpu: "cpu"
        case .pids: "pids"
        case .io: "io"
        case .unspecified, .unrecognized: "unknown"
        }
    }
}

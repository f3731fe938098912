import Foundation
import Machine

/// What the threads of a monitor asked of the kernel behind their fences, as strace saw it.
struct CallTrace {
    struct Call {
        let thread: MonitorThread
        let name: String
        let text: String
    }

    private(set) var calls: [Call] = []
    /// How many threads of each kind put their filter up.
    private(set) var fenced: [MonitorThread: Int] = [:]

    init(_ text: String) {
        var names: [Substring: String] = [:]
        var behind: Set<Substring> = []
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let (id, rest) = (parts[0], parts[1].drop { $0 == " " })
            // What goes on after an interruption was told when it began.
            guard let end = rest.firstIndex(of: "("), rest.first?.isLetter == true else { continue }
            let name = String(rest[..<end])
            if rest.hasPrefix("prctl(PR_SET_NAME, \"") {
                names[id] = rest.split(separator: "\"").dropFirst().first.map(String.init)
            }
            let thread = Self.kind(of: names[id])
            if behind.contains(id) {
                calls.append(Call(thread: thread, name: name, text: String(rest)))
            } else if rest.hasPrefix("seccomp(SECCOMP_SET_MODE_FILTER") {
                behind.insert(id)
                fenced[thread, default: 0] += 1
            }
        }
    }

    private static func kind(of name: String?) -> MonitorThread {
        guard let name else { return .devices }
        return name.hasPrefix("vcpu") ? .processor : name.hasPrefix("disk") ? .disk : .devices
    }
}

extension MonitorCall {
    /// Whether it is such a call: constants are told apart by the names that strace writes.
    func permits(_ call: CallTrace.Call) -> Bool {
        guard call.name == name, threads.contains(call.thread) else { return false }
        return conditions.allSatisfy { condition in
            switch condition {
            case .equals(_, _, let name), .has(_, _, let name): call.text.contains(name)
            case .lacks(_, _, let name): !call.text.contains(name)
            case .ownProcess: true
            }
        }
    }
}

/// Who asked for what and when: the invocations of functions, by time.
public struct Trace: Equatable, Sendable {
    /// A function's invocations, in the order of their arrival.
    public struct Function: Equatable, Sendable {
        public let name: String
        /// What it is reported with.
        public let kind: String
        public let memoryMiB: Int
        public internal(set) var invocations: [Invocation]

        public init(name: String, kind: String, memoryMiB: Int, invocations: [Invocation] = []) {
            self.name = name
            self.kind = kind
            self.memoryMiB = memoryMiB
            self.invocations = invocations
        }
    }

    /// Times are microseconds from the trace's beginning.
    public struct Invocation: Equatable, Sendable {
        public let arrival: Int
        public let duration: Int

        public init(arrival: Int, duration: Int) {
            self.arrival = arrival
            self.duration = duration
        }
    }

    public internal(set) var functions: [Function]

    public init(functions: [Function]) { self.functions = functions }

    public var count: Int { functions.reduce(0) { $0 + $1.invocations.count } }

    /// From the beginning to the last arrival.
    public var length: Int { functions.compactMap { $0.invocations.last?.arrival }.max() ?? 0 }

    /// The kinds in the order in which they are met first.
    public var kinds: [String] {
        var kinds: [String] = []
        for function in functions where !kinds.contains(function.kind) {
            kinds.append(function.kind)
        }
        return kinds
    }

    /// The first line of a trace's text.
    public static let header = "function,class,arrival_us,duration_us,memory_mib"

    /// The trace as text, by the time of arrival, in pieces: the whole would be large.
    public func write<E: Error>(_ piece: (String) throws(E) -> Void) throws(E) {
        var order: [(arrival: Int, function: Int, place: Int)] = []
        order.reserveCapacity(count)
        for (index, function) in functions.enumerated() {
            for (place, invocation) in function.invocations.enumerated() {
                order.append((invocation.arrival, index, place))
            }
        }
        order.sort { ($0.arrival, $0.function, $0.place) < ($1.arrival, $1.function, $1.place) }
        var text = Self.header + "\n"
        for entry in order {
            let function = functions[entry.function]
            let invocation = function.invocations[entry.place]
            text += "\(function.name),\(function.kind),\(invocation.arrival)"
            text += ",\(invocation.duration),\(function.memoryMiB)\n"
            if text.utf8.count > 1 << 16 {
                try piece(text)
                text = ""
            }
        }
        try piece(text)
    }
}

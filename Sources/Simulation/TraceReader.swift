/// What is wrong with the text of a trace, and in which line.
public struct TraceError: Error, Equatable, Sendable, CustomStringConvertible {
    public let line: Int
    public let message: String

    public var description: String { "line \(line): \(message)" }
}

/// Reads the text of a trace strictly, piece by piece.
///
/// Nothing is guessed: the header has to be there, each line has all fields, lines are in the order
/// of arrival, and a function does not change its class or memory.
public struct TraceReader: ~Copyable {
    public static let mostInvocations = 20_000_000
    public static let mostFunctions = 100_000
    static let longestLine = 512
    static let longestName = 128
    /// Ten years: sums of many such times stay within 64 bits.
    static let longestTime = 10 * 365 * 86400 * 1_000_000
    static let mostMemoryMiB = 1 << 20

    private var trace = Trace(functions: [])
    private var places: [[UInt8]: Int] = [:]
    private var line = 0
    private var rest: [UInt8] = []
    private var count = 0
    private var lastArrival = 0

    public init() {}

    public mutating func read(_ bytes: [UInt8]) throws(TraceError) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                try endLine()
            } else if rest.count == Self.longestLine {
                line += 1
                throw fault("is longer than \(Self.longestLine) bytes")
            } else {
                rest.append(byte)
            }
        }
    }

    /// The trace, when all has been read. The last line may lack its line break.
    public consuming func finish() throws(TraceError) -> Trace {
        if !rest.isEmpty { try endLine() }
        guard line > 0 else { throw TraceError(line: 1, message: "the trace is empty") }
        guard count > 0 else { throw fault("the trace has a header and no invocation") }
        return trace
    }

    private mutating func endLine() throws(TraceError) {
        line += 1
        if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
        let fields = rest.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        if line == 1 {
            guard rest == Array(Trace.header.utf8) else {
                throw fault("the header is not `\(Trace.header)`")
            }
        } else {
            try readInvocation(fields)
        }
        rest.removeAll(keepingCapacity: true)
    }

    private mutating func readInvocation(_ fields: [ArraySlice<UInt8>]) throws(TraceError) {
        guard fields.count == 5 else {
            throw fault("has \(fields.count) fields, and not 5")
        }
        let arrival = try number(fields[2], "arrival_us", in: 0...Self.longestTime)
        let duration = try number(fields[3], "duration_us", in: 0...Self.longestTime)
        let memory = try number(fields[4], "memory_mib", in: 1...Self.mostMemoryMiB)
        guard arrival >= lastArrival else {
            throw fault("arrives before the line above: sort by arrival_us")
        }
        guard count < Self.mostInvocations else {
            throw fault("more than \(Self.mostInvocations) invocations")
        }
        let place = try function(Array(fields[0]), kind: fields[1], memoryMiB: memory)
        lastArrival = arrival
        count += 1
        trace.functions[place].invocations.append(
            Trace.Invocation(arrival: arrival, duration: duration))
    }

    private mutating func function(
        _ key: [UInt8], kind: ArraySlice<UInt8>, memoryMiB: Int
    ) throws(TraceError) -> Int {
        if let place = places[key] {
            let known = trace.functions[place]
            guard known.kind.utf8.elementsEqual(kind) else {
                throw fault("`\(known.name)` was of class `\(known.kind)` before")
            }
            guard known.memoryMiB == memoryMiB else {
                throw fault("`\(known.name)` had \(known.memoryMiB) MiB before")
            }
            return place
        }
        guard trace.functions.count < Self.mostFunctions else {
            throw fault("more than \(Self.mostFunctions) functions")
        }
        let function = Trace.Function(
            name: try name(key[...], "function"), kind: try name(kind, "class"),
            memoryMiB: memoryMiB)
        places[key] = trace.functions.count
        trace.functions.append(function)
        return trace.functions.count - 1
    }

    private func name(_ bytes: ArraySlice<UInt8>, _ field: String) throws(TraceError) -> String {
        let isName = bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
        guard isName, !bytes.isEmpty, bytes.count <= Self.longestName else {
            throw fault(
                "\(field) is not 1 to \(Self.longestName) letters, digits or any of -_.:/")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func number(
        _ bytes: ArraySlice<UInt8>, _ field: String, in range: ClosedRange<Int>
    ) throws(TraceError) -> Int {
        var value = 0
        guard !bytes.isEmpty, bytes.count <= 18 else {
            throw fault("\(field) is not a whole number of 1 to 18 digits")
        }
        for byte in bytes {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
                throw fault("\(field) is not a whole number")
            }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        guard range.contains(value) else {
            throw fault("\(field) is not from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private func fault(_ message: String) -> TraceError {
        TraceError(line: line, message: message)
    }
}

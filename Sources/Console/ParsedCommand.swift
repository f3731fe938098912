/// A command line that was understood. Values are read by the type that the caller asks for.
///
/// Each accessor of a value gives nil when the flag was not given and has neither a default nor a
/// set environment variable. Asking for a flag that the command does not declare is a programming
/// error and traps.
public struct ParsedCommand: Equatable, Sendable {
    public let command: Command
    /// The arguments in their order.
    public let arguments: [String]
    /// The command after `--`, word for word.
    public let trailing: [String]
    let occurrences: [FlagOccurrence]

    /// The argument declared with this name, or nil when it was left out. For a repeatable one,
    /// see `arguments(_:)`.
    public func argument(_ name: String) -> String? { arguments(name).first }

    /// All that were given for the argument declared with this name.
    public func arguments(_ name: String) -> [String] {
        guard let place = command.arguments.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("\(command.fullName) declares no argument \(name)")
        }
        let isShort = command.hasOptionalFirst && arguments.count < command.arguments.count
        if isShort, place == 0 { return [] }
        let rest = arguments.dropFirst(isShort ? place - 1 : place)
        return Array(command.arguments[place].isRepeatable ? rest : rest.prefix(1))
    }

    /// Whether the switch is on.
    public func isOn(_ flag: String) -> Bool { !values(flag).isEmpty }

    /// Whether the flag stands on the command line: not a default, not the environment.
    public func isGiven(_ flag: String) -> Bool {
        values(flag).contains { $0.source == .commandLine }
    }

    public func string(_ flag: String) -> String? { values(flag).last?.value }

    public func strings(_ flag: String) -> [String] { values(flag).map(\.value) }

    /// One of the words given, such as `strict` or `best-effort`.
    public func choice(_ flag: String, of words: [String]) throws(FlagError) -> String? {
        try read(flag) { (text) throws(FlagError) in
            if words.contains(text) { return text }
            let near = NearestName.find(text, among: words)
            throw FlagError(
                "\(PlainText.quoted(text)) is none of \(words.joined(separator: ", "))",
                hint: near.map { "did you mean `\($0)`?" })
        }
    }

    /// A whole number.
    public func integer(
        _ flag: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(FlagError) -> Int? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.integer(text)
            try Self.check(value, in: range) { String($0) }
            return value
        }
    }

    /// A size in bytes, as `Quantity.bytes` reads it.
    public func bytes(
        _ flag: String, in range: ClosedRange<UInt64> = 0...UInt64.max
    ) throws(FlagError) -> UInt64? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.bytes(text)
            try Self.check(value, in: range) { Quantity.text(bytes: $0) }
            return value
        }
    }

    /// A number of CPUs in thousandths, as `Quantity.milliCPUs` reads it.
    public func milliCPUs(
        _ flag: String, in range: ClosedRange<Int> = 0...Int.max
    ) throws(FlagError) -> Int? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.milliCPUs(text)
            try Self.check(value, in: range) { Quantity.text(milliCPUs: $0) }
            return value
        }
    }

    /// A length of time, as `Quantity.duration` reads it.
    public func duration(
        _ flag: String, in range: ClosedRange<Duration> = .zero...Quantity.longestDuration
    ) throws(FlagError) -> Duration? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.duration(text)
            try Self.check(value, in: range) { Quantity.text($0) }
            return value
        }
    }

    /// Bytes for each second, as `Quantity.bytesPerSecond` reads them.
    public func bytesPerSecond(
        _ flag: String, in range: ClosedRange<UInt64> = 0...UInt64.max
    ) throws(FlagError) -> UInt64? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.bytesPerSecond(text)
            try Self.check(value, in: range) { Quantity.text(bytesPerSecond: $0) }
            return value
        }
    }

    /// Events for each second, as `Quantity.countPerSecond` reads them.
    public func countPerSecond(
        _ flag: String, in range: ClosedRange<UInt64> = 0...UInt64.max
    ) throws(FlagError) -> UInt64? {
        try read(flag) { (text) throws(FlagError) in
            let value = try Quantity.countPerSecond(text)
            try Self.check(value, in: range) { "\($0)/s" }
            return value
        }
    }

    /// The `KEY=VALUE` pairs of a repeatable flag in their order. A key given twice is refused.
    public func pairs(_ flag: String) throws(FlagError) -> [KeyValue] {
        var pairs: [KeyValue] = []
        let form = command.flags.first { $0.name == flag }?.value ?? "KEY=VALUE"
        for occurrence in values(flag) {
            let pair: KeyValue
            do throws(FlagError) {
                pair = try Quantity.pair(occurrence.value, form: form)
                if pairs.contains(where: { $0.key == pair.key }) {
                    throw FlagError("\(PlainText.quoted(pair.key)) is given twice")
                }
            } catch {
                throw error.about(Self.subject(of: occurrence))
            }
            pairs.append(pair)
        }
        return pairs
    }

    /// An error about the value of a flag, for what only the caller can judge.
    public func refuse(_ flag: String, _ message: String, hint: String? = nil) -> FlagError {
        let subject = values(flag).last.map(Self.subject) ?? "`--\(flag)`"
        return FlagError(message, hint: hint).about(subject)
    }

    private func values(_ name: String) -> [FlagOccurrence] {
        guard command.flags.contains(where: { $0.name == name }) else {
            preconditionFailure("\(command.fullName) declares no flag --\(name)")
        }
        return occurrences.filter { $0.name == name }
    }

    private func read<Value>(
        _ name: String, _ convert: (String) throws(FlagError) -> Value
    ) throws(FlagError) -> Value? {
        guard let occurrence = values(name).last else { return nil }
        do throws(FlagError) {
            return try convert(occurrence.value)
        } catch {
            throw error.about(Self.subject(of: occurrence))
        }
    }

    private static func subject(of occurrence: FlagOccurrence) -> String {
        switch occurrence.source {
        case .commandLine: "`--\(occurrence.name)`"
        case .environment(let variable): "environment variable \(variable)"
        case .defaultValue: "default of `--\(occurrence.name)`"
        }
    }

    private static func check<Value: Comparable>(
        _ value: Value, in range: ClosedRange<Value>, text: (Value) -> String
    ) throws(FlagError) {
        if value < range.lowerBound {
            throw FlagError("\(text(value)) is below the least, \(text(range.lowerBound))")
        }
        if value > range.upperBound {
            throw FlagError("\(text(value)) is above the most, \(text(range.upperBound))")
        }
    }
}

/// `KEY=VALUE`
public struct KeyValue: Equatable, Sendable {
    public let key: String
    public let value: String

    public init(key: String, value: String) {
        self.key = key
        self.value = value
    }
}

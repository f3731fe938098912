internal import Console
internal import Netlink

extension ConfigurationKind where Value == String {
    /// A text that passes a check.
    static func text(
        _ takes: String, example: String,
        check: @escaping @Sendable (String) throws(FlagError) -> Void
    ) -> Self {
        Self(
            takes,
            read: { (value) throws(FlagError) in
                guard case .string(let text) = value else {
                    throw wrong(value, takes, TOMLDocument.text(of: example))
                }
                try check(text)
                return text
            }, write: TOMLDocument.text(of:))
    }

    /// A path from the root, in its shortest form.
    static func path(
        _ takes: String = "a path", mayBeEmpty: Bool = false, most: Int = 1024, example: String
    ) -> Self {
        text(takes, example: example) { (text) throws(FlagError) in
            if text.isEmpty, mayBeEmpty { return }
            guard text.hasPrefix("/") else {
                throw FlagError(
                    "`\(PlainText.escaped(text.prefix(80)))` does not begin with `/`")
            }
            guard text.utf8.count <= most else {
                throw FlagError("a path of more than \(most) bytes")
            }
            let names = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            guard names.allSatisfy({ !["", ".", ".."].contains($0) }) else {
                throw FlagError(
                    "`\(PlainText.escaped(text.prefix(80)))` has an empty name, `.` or `..`")
            }
        }
    }

    /// The path of a Unix socket. The kernel takes no longer ones.
    static func socketPath(mayBeEmpty: Bool) -> Self {
        path(
            mayBeEmpty ? "a path, or \"\" for none" : "a path", mayBeEmpty: mayBeEmpty, most: 107,
            example: "/run/alcove/agent.sock")
    }

    /// A group by name or number.
    static var group: Self {
        Self(
            "a group's name or number",
            read: { (value) throws(FlagError) in
                switch value {
                case .string(let name):
                    guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }),
                        name.utf8.count <= 32
                    else { throw FlagError("\(TOMLDocument.text(of: name)) is no group's name") }
                    return name
                case .integer(let number):
                    guard let group = UInt32(exactly: number), group != .max else {
                        throw FlagError("\(number) is no group's number")
                    }
                    return String(group)
                case .boolean, .array:
                    throw wrong(value, "a group's name or number", "\"alcove\"")
                }
            }, write: TOMLDocument.text(of:))
    }
}

extension ConfigurationKind where Value: FixedWidthInteger & Sendable {
    /// A whole number within bounds.
    static func integer(_ range: ClosedRange<Value>) -> Self {
        Self(
            "an integer",
            read: { (value) throws(FlagError) in
                guard case .integer(let number) = value else {
                    throw wrong(value, "an integer", "\(range.lowerBound)")
                }
                return try within(range, Value(exactly: number), shown: "\(number)") { "\($0)" }
            }, write: { "\($0)" })
    }

    static func within(
        _ range: ClosedRange<Value>, _ value: Value?, shown: String, text: (Value) -> String
    ) throws(FlagError) -> Value {
        guard let value, range.contains(value) else {
            throw FlagError(
                "\(shown) is not between \(text(range.lowerBound)) and \(text(range.upperBound))")
        }
        return value
    }
}

extension ConfigurationKind where Value == UInt64 {
    /// Bytes: `"512MiB"`, or a plain number of them.
    static func size(_ range: ClosedRange<UInt64>) -> Self {
        Self(
            "a size",
            read: { (value) throws(FlagError) in
                let bytes: UInt64?
                let shown: String
                switch value {
                case .string(let text):
                    (bytes, shown) = (try Quantity.bytes(text), text)
                case .integer(let number):
                    (bytes, shown) = (UInt64(exactly: number), "\(number)")
                case .boolean, .array: throw wrong(value, "a size", "\"512MiB\"")
                }
                return try within(range, bytes, shown: shown) { Quantity.text(bytes: $0) }
            }, write: { TOMLDocument.text(of: Quantity.text(bytes: $0)) })
    }

    /// CPUs: `2`, or with decimals `"0.5"`.
    static var cpus: Self {
        Self(
            "a number of CPUs",
            read: { (value) throws(FlagError) in
                let text: String
                switch value {
                case .string(let string): text = string
                case .integer(let number): text = "\(number)"
                case .boolean, .array: throw wrong(value, "a number of CPUs", "\"0.5\"")
                }
                let milli = try Quantity.milliCPUs(text)
                return try within(0...1_000_000, UInt64(exactly: milli), shown: text) {
                    Quantity.text(milliCPUs: Int($0))
                }
            }, write: { TOMLDocument.text(of: Quantity.text(milliCPUs: Int(clamping: $0))) })
    }
}

extension ConfigurationKind where Value == UInt32 {
    /// The permissions of a socket: `0o660`.
    static var mode: Self {
        Self(
            "permissions",
            read: { (value) throws(FlagError) in
                let mode: UInt32?
                switch value {
                case .integer(let number): mode = UInt32(exactly: number)
                case .string(let text):
                    // A sign would be taken as well.
                    mode = text.utf8.first == UInt8(ascii: "0") ? UInt32(text, radix: 8) : nil
                case .boolean, .array: mode = nil
                }
                guard let mode, mode & ~0o777 == 0, mode & 0o600 == 0o600 else {
                    throw FlagError(
                        "it takes permissions with which the agent's own user reads and writes",
                        hint: "as in `0o660`, where the `0o` makes it octal")
                }
                return mode
            }, write: { "0o" + String($0, radix: 8) })
    }
}

extension ConfigurationKind where Value == [UInt32] {
    /// Users by their numbers.
    static var users: Self {
        Self(
            "an array of user ids",
            read: { (value) throws(FlagError) in
                guard case .array(let items) = value else {
                    throw wrong(value, "an array of user ids", "[0, 1000]")
                }
                var users: [UInt32] = []
                for item in items {
                    guard case .integer(let number) = item.value,
                        let user = UInt32(exactly: number), user != .max
                    else { throw FlagError("it takes the numbers of users") }
                    guard !users.contains(user) else {
                        throw FlagError("the user \(user) is given twice")
                    }
                    users.append(user)
                }
                return users
            }, write: { "[\($0.map(String.init).joined(separator: ", "))]" })
    }
}

extension ConfigurationKind where Value == IPv4Prefix {
    /// Addresses that begin with the same bits: `"10.0.0.0/8"`.
    static func prefix(_ lengths: ClosedRange<UInt8>, example: String) -> Self {
        Self(
            "a prefix",
            read: { (value) throws(FlagError) in
                let prefix = try read(value, example)
                guard lengths.contains(prefix.length) else {
                    throw FlagError(
                        "the length of `\(prefix)` is not between \(lengths.lowerBound) and "
                            + "\(lengths.upperBound)")
                }
                return prefix
            }, write: { TOMLDocument.text(of: "\($0)") })
    }

    fileprivate static func read(
        _ value: TOMLValue, _ example: String
    ) throws(FlagError) -> IPv4Prefix {
        guard case .string(let text) = value else {
            throw wrong(value, "a prefix", TOMLDocument.text(of: example))
        }
        guard let prefix = IPv4Prefix(text) else {
            throw FlagError(
                "`\(PlainText.escaped(text.prefix(80)))` is no prefix of IPv4",
                hint: "an address with no bit set behind the length, as in `\(example)`")
        }
        return prefix
    }
}

extension ConfigurationKind where Value == [IPv4Prefix] {
    static var prefixes: Self {
        Self(
            "an array of prefixes",
            read: { (value) throws(FlagError) in
                guard case .array(let items) = value else {
                    throw wrong(value, "an array of prefixes", "[\"10.0.0.0/8\"]")
                }
                var prefixes: [IPv4Prefix] = []
                for item in items {
                    prefixes.append(
                        try ConfigurationKind<IPv4Prefix>.read(item.value, "10.0.0.0/8"))
                }
                return prefixes
            }, write: { TOMLDocument.text(ofList: $0) })
    }
}

extension ConfigurationKind where Value == [IPv4Address] {
    static var addresses: Self {
        Self(
            "an array of addresses",
            read: { (value) throws(FlagError) in
                guard case .array(let items) = value else {
                    throw wrong(value, "an array of addresses", "[\"10.0.0.53\"]")
                }
                guard items.count <= 16 else { throw FlagError("more than 16 addresses") }
                var addresses: [IPv4Address] = []
                for item in items {
                    guard case .string(let text) = item.value, let address = IPv4Address(text)
                    else { throw FlagError("it takes addresses of IPv4 as texts") }
                    addresses.append(address)
                }
                return addresses
            }, write: { TOMLDocument.text(ofList: $0) })
    }
}

extension ConfigurationKind where Value == IPv4Address? {
    static var optionalAddress: Self {
        Self(
            "an address, or \"\"",
            read: { (value) throws(FlagError) in
                guard case .string(let text) = value else {
                    throw wrong(value, "an address", "\"192.0.2.1\"")
                }
                if text.isEmpty { return nil }
                guard let address = IPv4Address(text) else {
                    throw FlagError(
                        "`\(PlainText.escaped(text.prefix(80)))` is no address of IPv4")
                }
                return address
            }, write: { TOMLDocument.text(of: $0.map { "\($0)" } ?? "") })
    }
}

extension TOMLDocument {
    fileprivate static func text<Item: CustomStringConvertible>(ofList items: [Item]) -> String {
        "[\(items.map { text(of: $0.description) }.joined(separator: ", "))]"
    }
}

extension ConfigurationKind where Value == Duration {
    /// A length of time: `"2s"`.
    static func duration(_ range: ClosedRange<Duration>) -> Self {
        Self(
            "a duration",
            read: { (value) throws(FlagError) in
                guard case .string(let text) = value else {
                    throw wrong(value, "a duration", "\"10s\"")
                }
                let span = try Quantity.duration(text)
                guard range.contains(span) else {
                    throw FlagError(
                        "\(text) is not between \(Quantity.text(range.lowerBound)) and "
                            + Quantity.text(range.upperBound))
                }
                return span
            }, write: { TOMLDocument.text(of: Quantity.text($0)) })
    }
}

extension ConfigurationKind where Value == Bool {
    static var boolean: Self {
        Self(
            "true or false",
            read: { (value) throws(FlagError) in
                guard case .boolean(let isOn) = value else {
                    throw wrong(value, "true or false", "true")
                }
                return isOn
            }, write: { "\($0)" })
    }
}

extension ConfigurationKind
where Value: RawRepresentable<String> & CaseIterable & Sendable {
    /// One of some words.
    static var choice: Self {
        let words = Value.allCases.map(\.rawValue)
        let list = words.map(TOMLDocument.text(of:)).joined(separator: ", ")
        return Self(
            list,
            read: { (value) throws(FlagError) in
                guard case .string(let text) = value else {
                    throw wrong(value, "one of \(list)", TOMLDocument.text(of: words[0]))
                }
                guard let choice = Value(rawValue: text) else {
                    let near = NearestName.find(text, among: words)
                    throw FlagError(
                        "`\(PlainText.escaped(text.prefix(80)))` is none of \(list)",
                        hint: near.map { "did you mean `\($0)`?" })
                }
                return choice
            }, write: { TOMLDocument.text(of: $0.rawValue) })
    }
}

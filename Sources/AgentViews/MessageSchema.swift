internal import AgentAPI
internal import ProtocolBuffers

/// What the definitions say of messages: their fields' names and types, read from the descriptors
/// that server reflection gives away too.
struct MessageSchema {
    struct Field {
        var name = ""
        var number: UInt32 = 0
        /// As `google.protobuf.FieldDescriptorProto.Type` numbers it.
        var type: Int32 = 0
        /// Of a message or an enumeration: its full name.
        var typeName = ""
        var isRepeated = false
        /// Nothing stands for its absence: one of several, or marked as optional.
        var hasPresence = false
        /// One of several, of which only the one that is set is told.
        var isChoice = false
    }

    private(set) var messages: [String: [Field]] = [:]
    /// Those that stand for the entries of a map.
    private(set) var entries: Set<String> = []
    /// The names of an enumeration's numbers, lower case and without what all begin with.
    private(set) var enumerations: [String: [Int32: String]] = [:]

    /// Of all that the agent speaks.
    static let all: MessageSchema = {
        var schema = MessageSchema()
        for file in [
            FileDescriptor.alcoveV1Types, .alcoveV1Sandboxes, .alcoveV1Images, .alcoveV1Networks,
            .alcoveV1Node, .alcoveV1Proxy,
        ] {
            do throws(WireError) {
                try schema.add(file.bytes)
            } catch {
                preconditionFailure("a generated descriptor is no descriptor: \(error)")
            }
        }
        return schema
    }()

    private mutating func add(_ bytes: [UInt8]) throws(WireError) {
        var package = ""
        var parts: [(isMessage: Bool, bytes: [UInt8])] = []
        var reader = try Self.reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 2: package = try reader.singular(StringKind.self, field)
            case 4, 5:
                parts.append((field.number == 4, try reader.singular(BytesKind.self, field)))
            default: try reader.skip(field)
            }
        }
        for part in parts { try add(part.bytes, isMessage: part.isMessage, in: package) }
    }

    private mutating func add(
        _ bytes: [UInt8], isMessage: Bool, in scope: String
    ) throws(WireError) {
        if isMessage {
            try addMessage(bytes, in: scope)
        } else {
            try addEnumeration(bytes, in: scope)
        }
    }

    private mutating func addMessage(_ bytes: [UInt8], in scope: String) throws(WireError) {
        var name = ""
        var fields: [Field] = []
        var isEntry = false
        var parts: [(isMessage: Bool, bytes: [UInt8])] = []
        var reader = try Self.reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 1: name = try reader.singular(StringKind.self, field)
            case 2: fields.append(try Self.field(try reader.singular(BytesKind.self, field)))
            case 3, 4:
                parts.append((field.number == 3, try reader.singular(BytesKind.self, field)))
            case 7: isEntry = try Self.isEntry(try reader.singular(BytesKind.self, field))
            default: try reader.skip(field)
            }
        }
        let path = "\(scope).\(name)"
        messages[path] = fields
        if isEntry { entries.insert(path) }
        for part in parts { try add(part.bytes, isMessage: part.isMessage, in: path) }
    }

    /// From a message's options.
    private static func isEntry(_ bytes: [UInt8]) throws(WireError) -> Bool {
        var isEntry = false
        var reader = try reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 7: isEntry = try reader.singular(BoolKind.self, field)
            default: try reader.skip(field)
            }
        }
        return isEntry
    }

    private static func field(_ bytes: [UInt8]) throws(WireError) -> Field {
        var result = Field()
        var isOptional = false
        var reader = try reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 1: result.name = try reader.singular(StringKind.self, field)
            case 3: result.number = try reader.singular(UInt32Kind.self, field)
            case 4: result.isRepeated = try reader.singular(Int32Kind.self, field) == 3
            case 5: result.type = try reader.singular(Int32Kind.self, field)
            case 6:
                result.typeName = String(try reader.singular(StringKind.self, field).dropFirst())
            case 9:
                _ = try reader.singular(Int32Kind.self, field)
                result.isChoice = true
            case 17: isOptional = try reader.singular(BoolKind.self, field)
            default: try reader.skip(field)
            }
        }
        result.hasPresence = result.isChoice
        // What is marked as optional is the only one of several that nobody sees.
        if isOptional { result.isChoice = false }
        return result
    }

    private mutating func addEnumeration(_ bytes: [UInt8], in scope: String) throws(WireError) {
        var name = ""
        var names: [(String, Int32)] = []
        var reader = try Self.reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 1: name = try reader.singular(StringKind.self, field)
            case 2: names.append(try Self.value(try reader.singular(BytesKind.self, field)))
            default: try reader.skip(field)
            }
        }
        let prefix = Self.commonPrefix(names.map(\.0))
        enumerations["\(scope).\(name)"] = Dictionary(
            names.map { ($0.1, $0.0.dropFirst(prefix).lowercased()) },
            uniquingKeysWith: { first, _ in first })
    }

    private static func value(_ bytes: [UInt8]) throws(WireError) -> (String, Int32) {
        var (name, number): (String, Int32) = ("", 0)
        var reader = try reader(bytes)
        while let field = try reader.nextField() {
            switch field.number {
            case 1: name = try reader.singular(StringKind.self, field)
            case 2: number = try reader.singular(Int32Kind.self, field)
            default: try reader.skip(field)
            }
        }
        return (name, number)
    }

    /// How many characters all names have in common, up to an underscore.
    private static func commonPrefix(_ names: [String]) -> Int {
        guard var prefix = names.first.map({ $0[...] }) else { return 0 }
        while !prefix.isEmpty, !names.allSatisfy({ $0.hasPrefix(prefix) }) || prefix.last != "_" {
            prefix = prefix.dropLast()
        }
        return prefix.count
    }

    private static func reader(_ bytes: [UInt8]) throws(WireError) -> WireReader {
        try WireReader(
            bytes, in: bytes.indices, limits: WireLimits(bytes: .max, elements: .max))
    }
}

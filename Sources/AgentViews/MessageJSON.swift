public import Console
public import ProtocolBuffers

/// Messages of the API as JSON for programs: every field under the name that the definition gives
/// it, in the definition's order.
///
/// Fields at their default are told too, absent ones are null, and of a choice only the one that is
/// set is there. Values of enumerations are their names in lower case without what all begin with:
/// `running` for `SANDBOX_STATE_RUNNING`; a number without a name stays a number. Bytes are text
/// where they are UTF-8; where not, the name ends in `_base64`.
public enum MessageJSON {
    public static func value<Value: Message>(_ message: Value) -> JSONValue {
        let bytes = message.encoded()
        do throws(WireError) {
            return try object(bytes, Value.messageName)
        } catch {
            preconditionFailure("a message does not read what it wrote: \(error)")
        }
    }

    /// One line, with its end.
    public static func line<Value: Message>(_ message: Value) -> String {
        JSONWriter.text(value(message)) + "\n"
    }

    /// A document, with its end.
    public static func document<Value: Message>(_ message: Value) -> String {
        JSONWriter.text(value(message), style: .pretty) + "\n"
    }

    private static func object(
        _ bytes: [UInt8], _ name: String
    ) throws(WireError) -> JSONValue {
        let fields = MessageSchema.all.messages[name] ?? []
        var values: [UInt32: [JSONValue]] = [:]
        var isBinary: Set<UInt32> = []
        var reader = try WireReader(
            bytes, in: bytes.indices, limits: WireLimits(bytes: .max, elements: .max))
        while let field = try reader.nextField() {
            guard let known = fields.first(where: { $0.number == field.number }) else {
                try reader.skip(field)
                continue
            }
            if known.type == Kind.bytes {
                let bytes = try reader.singular(BytesKind.self, field)
                let text = String(validating: bytes, as: UTF8.self)
                if text == nil { isBinary.insert(known.number) }
                values[known.number, default: []].append(.string(text ?? Base64.text(bytes)))
            } else {
                values[known.number, default: []] += try elements(known, field, &reader)
            }
        }
        var object = JSONObject()
        for field in fields {
            let found = values[field.number] ?? []
            if MessageSchema.all.entries.contains(field.typeName) {
                object[field.name] = map(found)
            } else if field.isRepeated {
                object[field.name] = .array(found)
            } else if let value = found.last {
                let suffix = isBinary.contains(field.number) ? "_base64" : ""
                object[field.name + suffix] = value
            } else if !field.isChoice {
                object[field.name] = field.hasPresence ? .null : missing(field)
            }
        }
        return .object(object)
    }

    /// Entries as the object that they are of, in the order of their keys.
    private static func map(_ entries: [JSONValue]) -> JSONValue {
        let pairs = entries.map { ($0["key"]?.string ?? "", $0["value"] ?? .null) }
        var object = JSONObject()
        for (key, value) in pairs.sorted(by: { $0.0 < $1.0 }) { object[key] = value }
        return .object(object)
    }

    /// The types of fields, as descriptors number them.
    private enum Kind {
        static let double: Int32 = 1
        static let int64: Int32 = 3
        static let uint64: Int32 = 4
        static let int32: Int32 = 5
        static let bool: Int32 = 8
        static let string: Int32 = 9
        static let message: Int32 = 11
        static let bytes: Int32 = 12
        static let uint32: Int32 = 13
        static let enumeration: Int32 = 14
    }

    /// The values behind one tag: several where numbers are packed.
    private static func elements(
        _ known: MessageSchema.Field, _ field: Field, _ reader: inout WireReader
    ) throws(WireError) -> [JSONValue] {
        switch known.type {
        case Kind.string: return [.string(try reader.singular(StringKind.self, field))]
        case Kind.message:
            return [try object(try reader.singular(BytesKind.self, field), known.typeName)]
        case Kind.double: return [JSONValue(try reader.singular(DoubleKind.self, field))]
        case Kind.bool: return [JSONValue(try reader.singular(BoolKind.self, field))]
        case Kind.int64, Kind.int32:
            var numbers: [Int64] = []
            try reader.packable(Int64Kind.self, field, into: &numbers)
            return numbers.map { JSONValue($0) }
        case Kind.uint64, Kind.uint32:
            var numbers: [UInt64] = []
            try reader.packable(UInt64Kind.self, field, into: &numbers)
            return numbers.map { JSONValue($0) }
        case Kind.enumeration:
            var numbers: [Int32] = []
            try reader.packable(Int32Kind.self, field, into: &numbers)
            return numbers.map { enumeration(known, $0) }
        default: preconditionFailure("field \(known.name) has the type \(known.type)")
        }
    }

    private static func missing(_ field: MessageSchema.Field) -> JSONValue {
        switch field.type {
        case Kind.string, Kind.bytes: ""
        case Kind.message: .null
        case Kind.bool: false
        case Kind.double: JSONValue(0.0)
        case Kind.enumeration: enumeration(field, 0)
        default: 0
        }
    }

    private static func enumeration(_ field: MessageSchema.Field, _ number: Int32) -> JSONValue {
        MessageSchema.all.enumerations[field.typeName]?[number].map { .string($0) }
            ?? JSONValue(number)
    }
}

/// Bytes as text, by RFC 4648.
enum Base64 {
    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func text(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            for place in 0..<4 {
                text.append(
                    place > part.count
                        ? UInt8(ascii: "=") : digits[word >> (18 - 6 * place) & 63])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

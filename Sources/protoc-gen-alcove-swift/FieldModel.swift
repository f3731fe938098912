/// A field as Swift has it.
struct FieldModel {
    enum Shape {
        /// Without presence.
        case singular
        /// With presence, and no message.
        case optional
        case message
        /// Of texts, byte strings or messages; or numbers that are not to be packed.
        case repeated
        case packed
        case map(key: String, value: String)
        case oneof(index: Int)
    }

    let number: UInt32
    /// The property, or the case of a oneof.
    let name: String
    /// The `WireKind` of its value.
    let kind: String
    let isMessage: Bool
    let isNumber: Bool
    /// The type of one value.
    let valueType: String
    let shape: Shape
    private let zero: String

    init(
        _ field: FieldProto, in message: MessageProto,
        _ definitions: [String: SwiftGenerator.Definition]
    ) throws(GeneratorError) {
        guard !field.isRequired else {
            throw GeneratorError("`\(field.name)` is required, which version 3 does not have")
        }
        number = field.number
        name = SwiftNames.member(field.name)
        isMessage = field.type == 11
        isNumber = ![9, 11, 12].contains(field.type)
        if field.isRepeated, case .message(_, let entry) = definitions[field.typeName],
            entry.isMapEntry, entry.fields.count == 2
        {
            let key = try FieldModel(entry.fields[0], in: entry, definitions)
            let value = try FieldModel(entry.fields[1], in: entry, definitions)
            kind = ""
            zero = "[:]"
            valueType = "[\(key.valueType): \(value.valueType)]"
            shape = .map(key: key.kind, value: value.kind)
            return
        }
        (kind, valueType, zero) = try Self.type(of: field, definitions)
        if field.isRepeated {
            shape = isNumber && !field.isUnpacked ? .packed : .repeated
        } else if let oneof = field.oneof, !field.isOptional {
            shape = .oneof(index: oneof)
        } else {
            shape = isMessage ? .message : field.isOptional ? .optional : .singular
        }
    }

    /// The property's type and its value at first.
    var property: (type: String, initial: String) {
        switch shape {
        case .singular: (valueType, zero)
        case .optional, .message: (valueType + "?", "nil")
        case .repeated, .packed: ("[\(valueType)]", "[]")
        case .map: (valueType, zero)
        case .oneof: (valueType, zero)
        }
    }

    private static func type(
        of field: FieldProto, _ definitions: [String: SwiftGenerator.Definition]
    ) throws(GeneratorError) -> (kind: String, value: String, zero: String) {
        switch field.type {
        case 1: return ("DoubleKind", "Double", "0")
        case 2: return ("FloatKind", "Float", "0")
        case 3: return ("Int64Kind", "Int64", "0")
        case 4: return ("UInt64Kind", "UInt64", "0")
        case 5: return ("Int32Kind", "Int32", "0")
        case 6: return ("Fixed64Kind", "UInt64", "0")
        case 7: return ("Fixed32Kind", "UInt32", "0")
        case 8: return ("BoolKind", "Bool", "false")
        case 9: return ("StringKind", "String", "\"\"")
        case 12: return ("BytesKind", "[UInt8]", "[]")
        case 13: return ("UInt32Kind", "UInt32", "0")
        case 15: return ("SFixed32Kind", "Int32", "0")
        case 16: return ("SFixed64Kind", "Int64", "0")
        case 17: return ("SInt32Kind", "Int32", "0")
        case 18: return ("SInt64Kind", "Int64", "0")
        case 11, 14: break
        default: throw GeneratorError("`\(field.name)` is a group, which version 3 does not have")
        }
        switch definitions[field.typeName] {
        case .message(let swift, _): return ("MessageKind<\(swift)>", swift, "nil")
        case .enumeration(let swift, let enumeration):
            guard let first = enumeration.values.first, first.number == 0 else {
                throw GeneratorError("`\(enumeration.name)` does not begin with 0")
            }
            let zero = SwiftNames.enumCase(first.name, of: enumeration.name)
            return ("EnumKind<\(swift)>", swift, ".\(zero)")
        case nil: throw GeneratorError("`\(field.typeName)` is not in the request")
        }
    }
}

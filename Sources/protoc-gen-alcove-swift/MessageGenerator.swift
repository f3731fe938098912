/// Swift for one message and what is defined inside.
struct MessageGenerator {
    private struct Oneof {
        let name: String
        let type: String
        let index: Int32
        let fields: [FieldModel]
    }

    private let message: MessageProto
    private let name: String
    private let comments: [[Int32]: String]
    private let path: [Int32]
    private let definitions: [String: SwiftGenerator.Definition]
    /// In the order of the definition.
    private let fields: [FieldModel]
    private let oneofs: [Oneof]

    init(
        _ message: MessageProto, name: String, _ comments: [[Int32]: String], path: [Int32],
        _ definitions: [String: SwiftGenerator.Definition]
    ) throws(GeneratorError) {
        self.message = message
        self.name = name
        self.comments = comments
        self.path = path
        self.definitions = definitions
        var fields: [FieldModel] = []
        for field in message.fields {
            fields.append(try FieldModel(field, in: message, definitions))
        }
        self.fields = fields
        oneofs = message.oneofs.enumerated().compactMap { index, name in
            let members = fields.filter { field in
                if case .oneof(index) = field.shape { true } else { false }
            }
            // An `optional` field has a oneof of its own that nobody sees.
            guard !members.isEmpty else { return nil }
            return Oneof(
                name: SwiftNames.member(name), type: SwiftNames.type(SwiftNames.upperCamel(name)),
                index: Int32(index), fields: members)
        }
        try refuseCollisions()
    }

    private func refuseCollisions() throws(GeneratorError) {
        let members = properties.map(\.name)
        let inner = (message.messages.map(\.name) + message.enums.map(\.name))
        let types = oneofs.map(\.type) + inner.map(SwiftNames.type)
        guard Set(members).count == members.count, Set(types).count == types.count
        else { throw GeneratorError("two names in `\(name)` are the same in Swift") }
    }

    /// Every property with its type, its value at first and its comment; a oneof stands where its
    /// first field does.
    private var properties: [(name: String, type: String, initial: String, comment: String?)] {
        var properties: [(name: String, type: String, initial: String, comment: String?)] = []
        var seen: Set<Int> = []
        for (index, field) in fields.enumerated() {
            if case .oneof(let oneof) = field.shape {
                guard seen.insert(oneof).inserted,
                    let whole = oneofs.first(where: { $0.index == oneof })
                else { continue }
                let comment = comments[path + [8, whole.index]]
                properties.append((whole.name, whole.type + "?", "nil", comment))
            } else {
                let (type, initial) = field.property
                properties.append(
                    (field.name, type, initial, comments[path + [2, Int32(index)]]))
            }
        }
        return properties
    }

    func write(into source: inout SourceText) throws(GeneratorError) {
        source.documentation(comments[path])
        let type = SwiftNames.type(message.name)
        try source.block("public struct \(type): Message") { (source) throws(GeneratorError) in
            source.line("public static let messageName = \"\(name)\"")
            if !properties.isEmpty { source.line() }
            for property in properties {
                source.documentation(property.comment)
                source.line("public var \(property.name): \(property.type) = \(property.initial)")
            }
            source.line()
            source.line("public init() {}")
            try writeInitializer(into: &source)
            source.line()
            try writeEncode(into: &source)
            source.line()
            try writeDecode(into: &source)
            try writeInner(into: &source)
        }
    }

    private func writeInitializer(into source: inout SourceText) throws(GeneratorError) {
        let properties = properties
        guard let last = properties.indices.last else { return }
        source.line()
        source.line("public init(")
        for (index, property) in properties.enumerated() {
            let comma = index == last ? "" : ","
            source.line(
                "    \(property.name): \(property.type) = \(property.initial)\(comma)")
        }
        try source.block(")") { (source) throws(GeneratorError) in
            for property in properties {
                let plain = property.name
                source.line("self.\(plain) = \(plain)")
            }
        }
    }

    private func writeEncode(into source: inout SourceText) throws(GeneratorError) {
        try source.block("public func encode(into writer: inout WireWriter)") {
            (source) throws(GeneratorError) in
            for field in fields.sorted(by: { $0.number < $1.number }) {
                let arguments = "\(field.kind).self, \(field.number), self.\(field.name)"
                switch field.shape {
                case .singular: source.line("writer.singular(\(arguments))")
                case .optional, .message: source.line("writer.optional(\(arguments))")
                case .repeated: source.line("writer.repeated(\(arguments))")
                case .packed: source.line("writer.packed(\(arguments))")
                case .map(let key, let value):
                    source.line(
                        "writer.map(\(key).self, \(value).self, \(field.number), "
                            + "self.\(field.name))")
                case .oneof(let index):
                    let oneof = oneofs.first { $0.index == index }?.name ?? ""
                    try source.block("if case .\(field.name)(let value) = self.\(oneof)") {
                        (source) throws(GeneratorError) in
                        source.line("writer.present(\(field.kind).self, \(field.number), value)")
                    }
                }
            }
        }
    }

    private func writeDecode(into source: inout SourceText) throws(GeneratorError) {
        try source.block(
            "public mutating func decode(from reader: inout WireReader) throws(WireError)"
        ) { (source) throws(GeneratorError) in
            try source.block("while let field = try reader.nextField()") {
                (source) throws(GeneratorError) in
                guard !fields.isEmpty else {
                    source.line("try reader.skip(field)")
                    return
                }
                source.line("switch field.number {")
                for field in fields.sorted(by: { $0.number < $1.number }) {
                    source.line("case \(field.number):")
                    for line in decoding(field) { source.line("    " + line) }
                }
                source.line("default: try reader.skip(field)")
                source.line("}")
            }
        }
    }

    private func decoding(_ field: FieldModel) -> [String] {
        let target = "self.\(field.name)"
        let single = "try reader.singular(\(field.kind).self, field)"
        switch field.shape {
        case .singular, .optional: return ["\(target) = \(single)"]
        case .message: return ["try reader.message(field, into: &\(target))"]
        case .packed, .repeated:
            let call = field.isNumber ? "packable" : "repeated"
            return ["try reader.\(call)(\(field.kind).self, field, into: &\(target))"]
        case .map(let key, let value):
            return ["try reader.map(\(key).self, \(value).self, field, into: &\(target))"]
        case .oneof(let index):
            let oneof = oneofs.first { $0.index == index }?.name ?? ""
            guard field.isMessage else { return ["self.\(oneof) = .\(field.name)(\(single))"] }
            return [
                "var value = \(field.valueType)()",
                "if case .\(field.name)(let earlier) = self.\(oneof) { value = earlier }",
                "try reader.message(field, into: &value)",
                "self.\(oneof) = .\(field.name)(value)",
            ]
        }
    }

    private func writeInner(into source: inout SourceText) throws(GeneratorError) {
        for oneof in oneofs {
            source.line()
            source.documentation(comments[path + [8, oneof.index]])
            try source.block("public enum \(oneof.type): Equatable, Sendable") {
                (source) throws(GeneratorError) in
                for (index, field) in fields.enumerated() {
                    guard case .oneof(Int(oneof.index)) = field.shape else { continue }
                    source.documentation(comments[path + [2, Int32(index)]])
                    source.line("case \(field.name)(\(field.valueType))")
                }
            }
        }
        for (index, each) in message.enums.enumerated() {
            source.line()
            try EnumGenerator(each, comments, path: path + [4, Int32(index)]).write(into: &source)
        }
        for (index, each) in message.messages.enumerated() where !each.isMapEntry {
            source.line()
            let inner = try MessageGenerator(
                each, name: "\(name).\(each.name)", comments, path: path + [3, Int32(index)],
                definitions)
            try inner.write(into: &source)
        }
    }
}

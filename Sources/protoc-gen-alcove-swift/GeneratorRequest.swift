internal import ProtocolBuffers

// What protoc says, as far as it is needed: `google/protobuf/compiler/plugin.proto` and
// `google/protobuf/descriptor.proto`. Read by hand, since the generator cannot wait for itself.

struct GeneratorRequest {
    var filesToGenerate: [String] = []
    /// Those to generate and all that they import, in the order of imports.
    var files: [FileProto] = []

    init(_ reader: inout WireReader) throws(WireError) {
        while let field = try reader.nextField() {
            switch field.number {
            case 1: try reader.repeated(StringKind.self, field, into: &filesToGenerate)
            case 15:
                let bytes = try reader.singular(BytesKind.self, field)
                files.append(try FileProto(bytes))
            default: try reader.skip(field)
            }
        }
    }
}

struct FileProto {
    var name = ""
    var package = ""
    var imports: [String] = []
    var messages: [MessageProto] = []
    var enums: [EnumProto] = []
    var services: [ServiceProto] = []
    var syntax = ""
    /// The comments before and behind a declaration, by its path in the descriptor.
    var comments: [[Int32]: String] = [:]
    /// The descriptor without its comments.
    var descriptor: [UInt8] = []

    init(_ bytes: [UInt8]) throws(WireError) {
        var reader = try WireReader(
            bytes, in: bytes.indices, limits: WireLimits(bytes: .max, elements: .max))
        var start = 0
        while let field = try reader.nextField() {
            switch field.number {
            case 1: name = try reader.singular(StringKind.self, field)
            case 2: package = try reader.singular(StringKind.self, field)
            case 3: try reader.repeated(StringKind.self, field, into: &imports)
            case 4: messages.append(try MessageProto(&reader, field))
            case 5: enums.append(try EnumProto(&reader, field))
            case 6: services.append(try ServiceProto(&reader, field))
            case 9: try readComments(&reader, field)
            case 12: syntax = try reader.singular(StringKind.self, field)
            default: try reader.skip(field)
            }
            if field.number != 9 { descriptor += bytes[start..<reader.offset] }
            start = reader.offset
        }
    }

    private mutating func readComments(
        _ reader: inout WireReader, _ field: Field
    ) throws(WireError) {
        var found: [[Int32]: String] = [:]
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                guard field.number == 1 else {
                    try reader.skip(field)
                    continue
                }
                let location = try Location(&reader, field)
                if !location.comment.isEmpty { found[location.path] = location.comment }
            }
        }
        comments = found
    }

    private struct Location {
        var path: [Int32] = []
        var comment = ""

        init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
            var (path, comment): ([Int32], String) = ([], "")
            try reader.message(field) { (reader) throws(WireError) in
                while let field = try reader.nextField() {
                    switch field.number {
                    case 1: try reader.packable(Int32Kind.self, field, into: &path)
                    case 3, 4: comment += try reader.singular(StringKind.self, field)
                    default: try reader.skip(field)
                    }
                }
            }
            (self.path, self.comment) = (path, comment)
        }
    }
}

struct MessageProto {
    var name = ""
    var fields: [FieldProto] = []
    var messages: [MessageProto] = []
    var enums: [EnumProto] = []
    var oneofs: [String] = []
    var isMapEntry = false

    private init() {}

    init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
        var result = MessageProto()
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                switch field.number {
                case 1: result.name = try reader.singular(StringKind.self, field)
                case 2: result.fields.append(try FieldProto(&reader, field))
                case 3: result.messages.append(try MessageProto(&reader, field))
                case 4: result.enums.append(try EnumProto(&reader, field))
                case 7: result.isMapEntry = try reader.flag(7, of: field)
                case 8: result.oneofs.append(try reader.name(of: field))
                default: try reader.skip(field)
                }
            }
        }
        self = result
    }
}

struct FieldProto {
    var name = ""
    var number: UInt32 = 0
    var isRepeated = false
    var isRequired = false
    /// The number of its type in `FieldDescriptorProto.Type`.
    var type: Int32 = 0
    /// The full name of its message or enumeration, with a dot before it.
    var typeName = ""
    var oneof: Int?
    /// Declared `optional`.
    var isOptional = false
    var isUnpacked = false

    private init() {}

    init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
        var result = FieldProto()
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                switch field.number {
                case 1: result.name = try reader.singular(StringKind.self, field)
                case 3: result.number = try reader.singular(UInt32Kind.self, field)
                case 4:
                    let label = try reader.singular(Int32Kind.self, field)
                    result.isRequired = label == 2
                    result.isRepeated = label == 3
                case 5: result.type = try reader.singular(Int32Kind.self, field)
                case 6: result.typeName = try reader.singular(StringKind.self, field)
                case 8: result.isUnpacked = try reader.flag(2, of: field, default: true) == false
                case 9: result.oneof = Int(try reader.singular(Int32Kind.self, field))
                case 17: result.isOptional = try reader.singular(BoolKind.self, field)
                default: try reader.skip(field)
                }
            }
        }
        self = result
    }
}

struct EnumProto {
    var name = ""
    var values: [(name: String, number: Int32)] = []

    init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
        var (name, values): (String, [(name: String, number: Int32)]) = ("", [])
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                switch field.number {
                case 1: name = try reader.singular(StringKind.self, field)
                case 2:
                    var value: (name: String, number: Int32) = ("", 0)
                    try reader.message(field) { (reader) throws(WireError) in
                        while let field = try reader.nextField() {
                            switch field.number {
                            case 1: value.name = try reader.singular(StringKind.self, field)
                            case 2: value.number = try reader.singular(Int32Kind.self, field)
                            default: try reader.skip(field)
                            }
                        }
                    }
                    values.append(value)
                default: try reader.skip(field)
                }
            }
        }
        (self.name, self.values) = (name, values)
    }
}

struct ServiceProto {
    var name = ""
    var methods: [MethodProto] = []

    init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
        var (name, methods): (String, [MethodProto]) = ("", [])
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                switch field.number {
                case 1: name = try reader.singular(StringKind.self, field)
                case 2: methods.append(try MethodProto(&reader, field))
                default: try reader.skip(field)
                }
            }
        }
        (self.name, self.methods) = (name, methods)
    }
}

struct MethodProto {
    var name = ""
    var request = ""
    var response = ""
    var clientStreams = false
    var serverStreams = false

    private init() {}

    init(_ reader: inout WireReader, _ field: Field) throws(WireError) {
        var result = MethodProto()
        try reader.message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                switch field.number {
                case 1: result.name = try reader.singular(StringKind.self, field)
                case 2: result.request = try reader.singular(StringKind.self, field)
                case 3: result.response = try reader.singular(StringKind.self, field)
                case 5: result.clientStreams = try reader.singular(BoolKind.self, field)
                case 6: result.serverStreams = try reader.singular(BoolKind.self, field)
                default: try reader.skip(field)
                }
            }
        }
        self = result
    }
}

extension WireReader {
    /// One flag of a message of options.
    fileprivate mutating func flag(
        _ number: UInt32, of field: Field, default: Bool = false
    ) throws(WireError) -> Bool {
        var flag = `default`
        try message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                if field.number == number {
                    flag = try reader.singular(BoolKind.self, field)
                } else {
                    try reader.skip(field)
                }
            }
        }
        return flag
    }

    /// The name of a message that has it as its first field.
    fileprivate mutating func name(of field: Field) throws(WireError) -> String {
        var name = ""
        try message(field) { (reader) throws(WireError) in
            while let field = try reader.nextField() {
                if field.number == 1 {
                    name = try reader.singular(StringKind.self, field)
                } else {
                    try reader.skip(field)
                }
            }
        }
        return name
    }
}

/// The answer to protoc.
enum GeneratorResponse {
    /// Fields declared `optional` are understood.
    private static let supportedFeatures: UInt64 = 1

    static func encoded(error: String) -> [UInt8] {
        var writer = WireWriter()
        writer.present(StringKind.self, 1, error)
        return writer.bytes
    }

    static func encoded(files: [(name: String, content: String)]) -> [UInt8] {
        var writer = WireWriter()
        writer.present(UInt64Kind.self, 2, supportedFeatures)
        for file in files {
            var inner = WireWriter()
            inner.present(StringKind.self, 1, file.name)
            inner.present(StringKind.self, 15, file.content)
            writer.present(BytesKind.self, 15, inner.bytes)
        }
        return writer.bytes
    }
}

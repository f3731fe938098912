/// Descriptors of `.proto` files, to be found by the names in them.
struct DescriptorIndex: Sendable {
    private struct File: Sendable {
        let bytes: [UInt8]
        var imports: [String] = []
    }

    private var files: [File] = []
    private var names: [String: Int] = [:]
    private var symbols: [String: Int] = [:]
    /// Full names, sorted.
    private(set) var services: [String] = []
    /// The file of each extension by the type that it extends and its number.
    private(set) var extensions: [String: [UInt64: Int]] = [:]

    init(_ descriptors: [[UInt8]]) throws(WireFormat.Malformed) {
        for bytes in descriptors { try add(bytes) }
        services.sort()
    }

    func file(named name: String) -> Int? { names[name] }

    /// The file that declares a full name: of a message, a field, an enumeration or a value of it,
    /// a service, a method or an extension.
    func file(ofSymbol name: String) -> Int? {
        symbols[name.hasPrefix(".") ? String(name.dropFirst()) : name]
    }

    /// A file and all that it imports, each once, the file itself first.
    func withImports(_ file: Int) -> [[UInt8]] {
        var seen: Set<Int> = [file]
        var order = [file]
        var next = 0
        while next < order.count {
            for name in files[order[next]].imports {
                if let found = names[name], seen.insert(found).inserted { order.append(found) }
            }
            next += 1
        }
        return order.map { files[$0].bytes }
    }

    private mutating func add(_ bytes: [UInt8]) throws(WireFormat.Malformed) {
        let fields = try WireFormat.fields(bytes)
        let name = Self.text(1, of: fields) ?? ""
        guard names[name] == nil else { return }
        let file = files.count
        names[name] = file
        files.append(
            File(bytes: bytes, imports: fields.filter { $0.number == 3 }.compactMap(\.value.text)))
        let package = Self.text(2, of: fields).map { $0 + "." } ?? ""
        for field in fields {
            guard case .bytes(let content) = field.value else { continue }
            switch field.number {
            case 4: try addMessage(content, package, file, depth: 0)
            case 5: try addEnumeration(content, package, file)
            case 6: try addService(content, package, file)
            case 7: try addExtension(content, package, file)
            default: break
            }
        }
    }

    private mutating func addMessage(
        _ bytes: [UInt8], _ scope: String, _ file: Int, depth: Int
    ) throws(WireFormat.Malformed) {
        // As deep as protoc itself goes.
        guard depth < 32 else { throw WireFormat.Malformed() }
        let fields = try WireFormat.fields(bytes)
        let name = scope + (Self.text(1, of: fields) ?? "")
        declare(name, file)
        let inner = name + "."
        for field in fields {
            guard case .bytes(let content) = field.value else { continue }
            switch field.number {
            case 2, 8: try addName(content, inner, file)
            case 3: try addMessage(content, inner, file, depth: depth + 1)
            case 4: try addEnumeration(content, inner, file)
            case 6: try addExtension(content, inner, file)
            default: break
            }
        }
    }

    private mutating func addEnumeration(
        _ bytes: [UInt8], _ scope: String, _ file: Int
    ) throws(WireFormat.Malformed) {
        try addName(bytes, scope, file)
        // The values of an enumeration are names beside it.
        for field in try WireFormat.fields(bytes) where field.number == 2 {
            if case .bytes(let content) = field.value { try addName(content, scope, file) }
        }
    }

    private mutating func addService(
        _ bytes: [UInt8], _ scope: String, _ file: Int
    ) throws(WireFormat.Malformed) {
        let fields = try WireFormat.fields(bytes)
        let name = scope + (Self.text(1, of: fields) ?? "")
        if declare(name, file) { services.append(name) }
        for field in fields where field.number == 2 {
            if case .bytes(let content) = field.value { try addName(content, name + ".", file) }
        }
    }

    private mutating func addExtension(
        _ bytes: [UInt8], _ scope: String, _ file: Int
    ) throws(WireFormat.Malformed) {
        try addName(bytes, scope, file)
        let fields = try WireFormat.fields(bytes)
        guard let type = Self.text(2, of: fields),
            case .number(let number) = fields.last(where: { $0.number == 3 })?.value
        else { return }
        extensions[type.hasPrefix(".") ? String(type.dropFirst()) : type, default: [:]][number] =
            file
    }

    /// Every kind of descriptor has its name as its first field.
    private mutating func addName(
        _ bytes: [UInt8], _ scope: String, _ file: Int
    ) throws(WireFormat.Malformed) {
        let fields = try WireFormat.fields(bytes)
        if let name = Self.text(1, of: fields) { declare(scope + name, file) }
    }

    /// What is declared twice stays with the file that came first.
    @discardableResult
    private mutating func declare(_ name: String, _ file: Int) -> Bool {
        guard symbols[name] == nil else { return false }
        symbols[name] = file
        return true
    }

    private static func text(_ number: Int, of fields: [WireFormat.Field]) -> String? {
        fields.last { $0.number == number }?.value.text
    }
}

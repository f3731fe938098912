/// Names of protocol buffers in Swift.
enum SwiftNames {
    /// `memory_bytes` as `memoryBytes`.
    static func lowerCamel(_ name: String) -> String {
        camel(name, capitalizesFirst: false)
    }

    /// `control_plane` as `ControlPlane`.
    static func upperCamel(_ name: String) -> String {
        camel(name, capitalizesFirst: true)
    }

    /// A lower camel name of a property, a case or a method, with backticks where Swift needs
    /// them.
    static func member(_ name: String) -> String {
        escaped(lowerCamel(name))
    }

    static func escaped(_ name: String) -> String {
        // Even in backticks, `self` in an initializer is the value.
        name == "self" ? "selfField" : keywords.contains(name) ? "`\(name)`" : name
    }

    /// `Create` as `create`.
    static func method(_ name: String) -> String {
        escaped((name.first?.lowercased() ?? "") + name.dropFirst())
    }

    /// A value of an enumeration without the enumeration's name before it: `PAUSED` of
    /// `SandboxState` is `SANDBOX_STATE_PAUSED`.
    static func enumCase(_ value: String, of enumeration: String) -> String {
        let prefix = upperSnake(enumeration) + "_"
        let short = value.hasPrefix(prefix) ? String(value.dropFirst(prefix.count)) : value
        let isName = short.first?.isLetter ?? false
        return member((isName ? short : value).lowercased())
    }

    private static func camel(_ name: String, capitalizesFirst: Bool) -> String {
        var result = ""
        for word in name.split(separator: "_") {
            if result.isEmpty, !capitalizesFirst {
                result += (word.first?.lowercased() ?? "") + word.dropFirst()
            } else {
                result +=
                    acronyms[String(word)] ?? (word.first?.uppercased() ?? "")
                    + word.dropFirst()
            }
        }
        return result
    }

    private static func upperSnake(_ name: String) -> String {
        var result = ""
        let characters = Array(name)
        for (place, character) in characters.enumerated() {
            let previousIsUpper = place == 0 || characters[place - 1].isUppercase
            // The last capital of several begins a word: `VPCState`.
            let nextIsLower = place + 1 < characters.count && characters[place + 1].isLowercase
            if place > 0, character.isUppercase, !previousIsUpper || nextIsLower { result += "_" }
            result += character.uppercased()
        }
        return result
    }

    /// Words that Swift writes in capitals.
    private static let acronyms = [
        "id": "ID", "ids": "IDs", "uid": "UID", "gid": "GID", "pid": "PID", "cpu": "CPU",
        "cpus": "CPUs", "vcpu": "VCPU", "io": "IO", "psi": "PSI", "kvm": "KVM", "url": "URL",
        "microvm": "MicroVM",
    ]

    private static let keywords: Set<String> = [
        "Any", "as", "associatedtype", "break", "case", "catch", "class", "continue", "default",
        "defer", "deinit", "do", "else", "enum", "extension", "fallthrough", "false", "fileprivate",
        "for", "func", "guard", "if", "import", "in", "init", "inout", "internal", "is", "let",
        "nil", "operator", "precedencegroup", "private", "protocol", "public", "repeat", "rethrows",
        "return", "self", "static", "struct", "subscript", "super", "switch", "throw", "throws",
        "true", "try", "typealias", "var", "where", "while",
    ]

    /// A type's name, with a word behind it where it would hide one of Swift's.
    static func type(_ name: String) -> String {
        reserved.contains(name) ? name + "Message" : name
    }

    /// Names of types that generated code uses, or that Swift keeps for itself.
    private static let reserved: Set<String> = [
        "Any", "Bool", "BoolKind", "BytesKind", "Double", "DoubleKind", "EnumKind", "Equatable",
        "Field", "FileDescriptor", "Fixed32Kind", "Fixed64Kind", "Float", "FloatKind", "Int",
        "Int32", "Int32Kind", "Int64", "Int64Kind", "Message", "MessageKind", "Method",
        "OpenEnumeration", "Protocol", "Self", "Sendable", "ServiceDescriptor", "SFixed32Kind",
        "SFixed64Kind", "SInt32Kind", "SInt64Kind", "String", "StringKind", "Type", "UInt32",
        "UInt32Kind", "UInt64", "UInt64Kind", "UInt8", "WireError", "WireReader", "WireWriter",
    ]
}

/// Why no Swift is generated: what in the definition has no translation.
struct GeneratorError: Error {
    let message: String

    init(_ message: String) {
        self.message = message
    }
}

/// Lines of code with their indentation.
struct SourceText {
    private(set) var text = ""
    private var indentation = 0

    mutating func line(_ line: String = "") {
        if !line.isEmpty {
            text += String(repeating: "    ", count: indentation) + line
        }
        text += "\n"
    }

    mutating func block(
        _ head: String, _ body: (inout SourceText) throws(GeneratorError) -> Void
    ) throws(GeneratorError) {
        line(head + " {")
        indentation += 1
        try body(&self)
        indentation -= 1
        line("}")
    }

    /// A comment of a definition as a doc comment.
    mutating func documentation(_ comment: String?) {
        guard let comment else { return }
        var lines = comment.split(separator: "\n", omittingEmptySubsequences: false)
        while lines.last?.allSatisfy({ $0 == " " }) ?? false { lines.removeLast() }
        for text in lines {
            line(
                text.allSatisfy { $0 == " " }
                    ? "///" : "///" + (text.first == " " ? "" : " ") + text)
        }
    }
}

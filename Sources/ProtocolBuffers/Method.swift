/// Which sides of a call send more than one message.
public enum MethodKind: String, Sendable, CaseIterable {
    case unary
    case serverStreaming
    case clientStreaming
    case bidirectional
}

/// A method's path and kind, without its types.
public struct MethodSignature: Hashable, Sendable {
    /// As HTTP/2 has it: `/alcove.v1.Sandboxes/Create`.
    public let path: String
    public let kind: MethodKind

    @inlinable public init(path: String, kind: MethodKind) {
        self.path = path
        self.kind = kind
    }
}

/// A method of a service, with the types of its messages.
public struct Method<Request: Message, Response: Message>: Hashable, Sendable {
    public let signature: MethodSignature

    @inlinable public init(_ path: String, _ kind: MethodKind) {
        signature = MethodSignature(path: path, kind: kind)
    }

    @inlinable public var path: String { signature.path }
    @inlinable public var kind: MethodKind { signature.kind }
}

/// A service's name and methods, in the order of its definition.
public struct ServiceDescriptor: Hashable, Sendable {
    /// The full name: `alcove.v1.Sandboxes`.
    public let name: String
    public let methods: [MethodSignature]

    public init(_ name: String, methods: [MethodSignature]) {
        self.name = name
        self.methods = methods
    }
}

/// A `.proto` file as server reflection gives it away.
public struct FileDescriptor: Hashable, Sendable {
    /// Path as other files import it: `alcove/v1/types.proto`.
    public let name: String
    /// The names of the files that it imports.
    public let imports: [String]
    /// Full names of what it defines: messages, enumerations, services and their methods.
    public let symbols: [String]
    private let hexadecimal: String

    /// - Parameter hexadecimal: the `google.protobuf.FileDescriptorProto`, two digits for each
    ///   byte. White space between them is left out.
    public init(name: String, imports: [String], symbols: [String], hexadecimal: String) {
        self.name = name
        self.imports = imports
        self.symbols = symbols
        self.hexadecimal = hexadecimal
    }

    /// The encoded `google.protobuf.FileDescriptorProto`, without comments.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(hexadecimal.utf8.count / 2)
        var high: UInt8?
        for character in hexadecimal.utf8 {
            guard let digit = Self.digit(character) else { continue }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return bytes
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

/// A place in a file, both numbers from 1.
public struct TOMLPosition: Hashable, Sendable {
    public let line: Int
    /// In characters as Unicode counts its scalars.
    public let column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// What can stand behind an equals sign.
public enum TOMLValue: Hashable, Sendable {
    case string(String)
    case integer(Int64)
    case boolean(Bool)
    /// Strings only, or integers only.
    case array([TOMLItem])

    /// With its article: `a string`.
    var kind: String {
        switch self {
        case .string: "a string"
        case .integer: "an integer"
        case .boolean: "true or false"
        case .array: "an array"
        }
    }
}

/// A value and where it stands.
public struct TOMLItem: Hashable, Sendable {
    public let value: TOMLValue
    public let position: TOMLPosition

    public init(value: TOMLValue, position: TOMLPosition) {
        self.value = value
        self.position = position
    }
}

/// What a file of the subset of TOML says, in its order.
///
/// The subset: tables, dotted and quoted keys, strings of one line, integers, booleans, arrays of
/// strings or of integers. All of it means what TOML 1.0 says; what is not in it is refused.
public struct TOMLDocument: Sendable {
    /// A key with its value.
    public struct Entry: Hashable, Sendable {
        /// The names of the tables, then the key.
        public let path: [String]
        /// Of the key.
        public let position: TOMLPosition
        public let item: TOMLItem
    }

    /// A table as its header names it.
    public struct Header: Hashable, Sendable {
        public let path: [String]
        public let position: TOMLPosition
    }

    public internal(set) var entries: [Entry] = []
    public internal(set) var headers: [Header] = []

    /// Bounds on a file.
    public enum Bounds {
        public static let bytes = 65536
        public static let entries = 1000
        public static let depth = 8
        public static let elements = 1000
        public static let stringBytes = 4096
    }

    /// A path as a file would write it: `node.labels."a b"`.
    public static func text(of path: [String]) -> String {
        path.map(text(ofKey:)).joined(separator: ".")
    }

    static func text(ofKey key: String) -> String {
        !key.isEmpty && key.utf8.allSatisfy(TOMLParser.isBare) ? key : text(of: key)
    }

    /// A text as a file would write it, with the quotes.
    public static func text(of string: String) -> String {
        var result = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) {
                    let digits = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}

/// What is wrong with a file, and where.
public struct TOMLError: Error, Hashable, Sendable {
    public let position: TOMLPosition
    public let message: String
    public let hint: String?

    public init(_ position: TOMLPosition, _ message: String, hint: String? = nil) {
        self.position = position
        self.message = message
        self.hint = hint
    }
}

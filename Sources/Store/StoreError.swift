internal import LinuxKernel

/// Why the record could not be read or written: one line, and what to do about it.
public struct StoreError: Error, Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// No space is left, or the quota is used up. Nothing was written.
        case full
        /// The file system or the file's mode does not let it be written.
        case readOnly
        /// What is in the file is not what was written.
        case corrupt
        /// A newer version of the program wrote it.
        case newerSchema(found: Int, known: Int)
        /// Another process owns the record or has locked it.
        case busy
        case other
    }

    public let kind: Kind
    /// What failed, on what, and why.
    public let message: String
    public let hint: String?

    public init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}

extension StoreError {
    /// With the hint that goes with its kind.
    init(_ kind: Kind, doing what: String, on path: String, why: String) {
        let hint: String? =
            switch kind {
            case .full: "make room on the file system of the record"
            case .readOnly: "make the file system and the file writable, as root"
            case .corrupt: "set the record aside, and begin with an empty one"
            case .newerSchema: "run the version that wrote it or a later one"
            case .busy: "stop the process that has it open"
            case .other: nil
            }
        self.init(kind, "cannot \(what) the record `\(path)`: \(why)", hint: hint)
    }

    init(_ error: SystemCallError, doing what: String, on path: String) {
        self.init(
            Self.kind(of: error.errorNumber) ?? .other, doing: what, on: path, why: "\(error)")
    }

    /// The kind that a reason of the kernel means, where it means one.
    static func kind(of number: ErrorNumber) -> Kind? {
        switch number.rawValue {
        // ENOSPC, EDQUOT
        case 28, 122: .full
        // EPERM, EACCES, EROFS
        case 1, 13, 30: .readOnly
        // EUCLEAN: the file system's own words for damage.
        case 117: .corrupt
        default: nil
        }
    }
}

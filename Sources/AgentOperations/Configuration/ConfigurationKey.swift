internal import Console

/// A key of the configuration file: what it takes, what holds without it, what it does.
public struct ConfigurationKey: Sendable {
    /// As in the file: `socket.path`.
    public let path: String
    /// What it takes, in words: `a path`.
    public let takes: String
    /// One sentence without a full stop.
    public let meaning: String
    /// Whether it is a table whose keys the operator chooses.
    public let isTable: Bool
    /// Whether another value holds at once when the agent reads the file again; if not, from its
    /// next start on.
    public private(set) var isReloadable = false
    /// Takes over a value from the file.
    let read: @Sendable (TOMLDocument.Entry, inout AgentConfiguration) throws(FlagError) -> Void
    /// As the file would say it: the value, or the lines of the table.
    let write: @Sendable (AgentConfiguration) -> [String]
    /// Takes over the value of another configuration.
    let copy: @Sendable (AgentConfiguration, inout AgentConfiguration) -> Void

    /// The value that holds without the key, as a file would say it. Empty for a table.
    public var defaultText: String { write(AgentConfiguration()).joined(separator: ", ") }

    /// The table that it stands in, and its name there.
    public var parts: (table: String, name: String) {
        let names = path.split(separator: ".")
        return (names.dropLast().joined(separator: "."), names.last.map(String.init) ?? "")
    }

    typealias Place<Value> = any (WritableKeyPath<AgentConfiguration, Value> & Sendable)

    /// A key with one value.
    static func key<Value>(
        _ path: String, _ place: Place<Value>,
        _ kind: ConfigurationKind<Value>, _ meaning: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            path: path, takes: kind.takes, meaning: meaning, isTable: false,
            read: { (entry, configuration) throws(FlagError) in
                configuration[keyPath: place] = try kind.read(entry.item.value)
            },
            write: { [kind.write($0[keyPath: place])] },
            copy: { $1[keyPath: place] = $0[keyPath: place] })
    }

    /// A key with one value that can change while the agent runs.
    static func live<Value>(
        _ path: String, _ place: Place<Value>,
        _ kind: ConfigurationKind<Value>, _ meaning: String
    ) -> ConfigurationKey {
        key(path, place, kind, meaning).reloadable
    }

    /// The same key, whose value can change while the agent runs.
    var reloadable: ConfigurationKey {
        var key = self
        key.isReloadable = true
        return key
    }

    /// A table of texts.
    static func table(
        _ path: String, _ place: Place<[String: String]>,
        _ kind: ConfigurationKind<String>, keys: ConfigurationKind<String>, most: Int,
        _ meaning: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            path: path, takes: "a table of texts", meaning: meaning, isTable: true,
            read: { (entry, configuration) throws(FlagError) in
                let key = try keys.read(.string(entry.path.last ?? ""))
                configuration[keyPath: place][key] = try kind.read(entry.item.value)
                guard configuration[keyPath: place].count <= most else {
                    throw FlagError("more than \(most) of them")
                }
            },
            write: { configuration in
                configuration[keyPath: place].sorted { $0.key < $1.key }.map {
                    "\(TOMLDocument.text(ofKey: $0.key)) = \(kind.write($0.value))"
                }
            }, copy: { $1[keyPath: place] = $0[keyPath: place] })
    }
}

/// A way in which a file says a value.
struct ConfigurationKind<Value>: Sendable {
    let takes: String
    let read: @Sendable (TOMLValue) throws(FlagError) -> Value
    let write: @Sendable (Value) -> String

    init(
        _ takes: String, read: @escaping @Sendable (TOMLValue) throws(FlagError) -> Value,
        write: @escaping @Sendable (Value) -> String
    ) {
        self.takes = takes
        self.read = read
        self.write = write
    }

    /// A value of another kind than this one.
    static func wrong(_ value: TOMLValue, _ takes: String, _ example: String) -> FlagError {
        FlagError("it takes \(takes), not \(value.kind)", hint: "as in `\(example)`")
    }
}

internal import Console
internal import LinuxKernel
internal import Netlink

/// Something that is wrong with a configuration, in one line.
public struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    /// Where in the file; nothing for what concerns it as a whole.
    public let position: TOMLPosition?
    public let message: String
    public let hint: String?

    public init(_ message: String, at position: TOMLPosition? = nil, hint: String? = nil) {
        self.message = message
        self.position = position
        self.hint = hint
    }

    public var description: String {
        let place = position.map { "\($0.line):\($0.column): " } ?? ""
        return place + message + (hint.map { " (\($0))" } ?? "")
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file.
    public let source: String
    /// At least one, at most `mostProblems`, in the order of the file.
    public let problems: [ConfigurationProblem]

    static let mostProblems = 20

    /// One line for each: `/etc/alcove/alcoved.toml:3:1: …`.
    public var description: String {
        problems.map { problem in
            "\(source):\(problem.position == nil ? " " : "")\(problem)"
        }.joined(separator: "\n")
    }
}

extension AgentConfiguration {
    /// Where the agent looks when it is told no other place.
    public static let standardPath = "/etc/alcove/alcoved.toml"

    /// Reads a file. What it does not say keeps its default.
    public static func load(_ path: String) throws(ConfigurationError) -> AgentConfiguration {
        let bytes: [UInt8]
        do throws(SystemCallError) {
            bytes = try content(of: path)
        } catch {
            throw ConfigurationError(
                source: path, problems: [ConfigurationProblem("\(error.errorNumber)")])
        }
        return try read(bytes, source: path)
    }

    /// Reads the file at the standard place. Without one, all is at its default.
    public static func loadStandard() throws(ConfigurationError) -> AgentConfiguration {
        Files.exists(standardPath) ? try load(standardPath) : AgentConfiguration()
    }

    /// One byte more than may be: the parser then says so.
    private static func content(of path: String) throws(SystemCallError) -> [UInt8] {
        // A pipe without a writer must not hold the agent up.
        let file = try Files.open(path, [.readOnly, .nonBlocking])
        var content: [UInt8] = []
        let limit = TOMLDocument.Bounds.bytes + 1
        while content.count < limit {
            let more = try file.read(atMost: limit - content.count, subject: path)
            if more.isEmpty { break }
            content += more
        }
        return content
    }

    /// Reads the content of a file.
    ///
    /// - Parameter source: the file's name, for errors.
    public static func read(
        _ bytes: [UInt8], source: String
    ) throws(ConfigurationError) -> AgentConfiguration {
        let document: TOMLDocument
        do throws(TOMLError) {
            document = try TOMLParser.parse(bytes)
        } catch {
            let problem = ConfigurationProblem(
                error.message, at: error.position, hint: error.hint)
            throw ConfigurationError(source: source, problems: [problem])
        }
        var configuration = AgentConfiguration()
        var problems = document.headers.compactMap(unknownTable)
        for entry in document.entries {
            if let problem = configuration.take(entry) { problems.append(problem) }
        }
        problems.sort { left, right in
            let (left, right) = (left.position, right.position)
            return (left?.line ?? 0, left?.column ?? 0) < (right?.line ?? 0, right?.column ?? 0)
        }
        if problems.isEmpty { problems = configuration.contradictions() }
        guard problems.isEmpty else {
            throw ConfigurationError(
                source: source,
                problems: Array(problems.prefix(ConfigurationError.mostProblems)))
        }
        return configuration
    }

    private mutating func take(_ entry: TOMLDocument.Entry) -> ConfigurationProblem? {
        let path = entry.path.joined(separator: ".")
        let key = ConfigurationKey.all.first { key in
            let names = key.path.split(separator: ".").map(String.init)
            return key.isTable
                ? entry.path.count == names.count + 1 && entry.path.starts(with: names)
                : entry.path == names
        }
        guard let key else { return Self.unknownKey(entry, path) }
        do throws(FlagError) {
            try key.read(entry, &self)
            return nil
        } catch {
            return ConfigurationProblem(
                "`\(TOMLDocument.text(of: entry.path))`: \(error.message)",
                at: entry.item.position, hint: error.hint)
        }
    }

    private static func unknownKey(
        _ entry: TOMLDocument.Entry, _ path: String
    ) -> ConfigurationProblem {
        let known = ConfigurationKey.all.filter { !$0.isTable }.map(\.path)
        if ConfigurationKey.all.contains(where: { $0.isTable && $0.path == path }) {
            return ConfigurationProblem(
                "`\(path)` is a table", at: entry.position, hint: "write `[\(path)]`")
        }
        // The right name in the wrong table, or a slip in either.
        let name = entry.path.last ?? ""
        let samePlace = known.filter { $0.hasPrefix((entry.path.first ?? "") + ".") }
        let near =
            NearestName.find(path, among: samePlace) ?? NearestName.find(path, among: known)
            ?? known.first { $0.hasSuffix("." + name) }
        return ConfigurationProblem(
            "unknown key `\(PlainText.cut(TOMLDocument.text(of: entry.path), to: 100))`",
            at: entry.position,
            hint: near.map { "did you mean `\($0)`?" } ?? "`alcoved --help-config` lists the keys")
    }

    private static func unknownTable(_ header: TOMLDocument.Header) -> ConfigurationProblem? {
        let path = header.path.joined(separator: ".")
        var known: [String] = []
        for key in ConfigurationKey.all {
            let table = key.isTable ? key.path : key.parts.table
            if !known.contains(table) { known.append(table) }
        }
        if known.contains(path), header.path == path.split(separator: ".").map(String.init) {
            return nil
        }
        let near = NearestName.find(path, among: known)
        return ConfigurationProblem(
            "unknown table `\(PlainText.cut(TOMLDocument.text(of: header.path), to: 100))`",
            at: header.position,
            hint: near.map { "did you mean `[\($0)]`?" } ?? "one of: "
                + known.joined(separator: ", ")
        )
    }

    /// What single values cannot show.
    func contradictions() -> [ConfigurationProblem] {
        var problems: [ConfigurationProblem] = []
        let sockets = [
            ("socket.path", socket.path), ("monitor.path", monitor.path),
            ("metrics.path", metrics.path), ("control_plane.socket", controlPlaneSocket),
        ].filter { !$0.1.isEmpty }
        for (place, (name, path)) in sockets.enumerated() {
            for (other, otherPath) in sockets[..<place] where otherPath == path {
                problems.append(
                    ConfigurationProblem("`\(other)` and `\(name)` are the same path, \(path)"))
            }
        }
        if networks.leastReady > networks.mostReady {
            problems.append(
                ConfigurationProblem(
                    "`network.least_ready` is above `network.most_ready`: "
                        + "\(networks.leastReady), \(networks.mostReady)"))
        }
        if networks.slots.overlaps(networks.uplink) {
            problems.append(
                ConfigurationProblem(
                    "`network.slots` and `network.uplink` overlap: "
                        + "\(networks.slots), \(networks.uplink)"))
        }
        return problems
    }
}

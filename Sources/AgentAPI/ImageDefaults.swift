internal import SandboxModel

/// What an image says of how it wants to be run: it holds where a specification is silent.
public struct ImageDefaults: Equatable, Sendable {
    public var entrypoint: [String] = []
    public var command: [String] = []
    /// `NAME=value`, in order.
    public var environment: [String] = []
    /// Empty where the image names none, as the next.
    public var workingDirectory = ""
    public var user = ""

    /// Those of a directory tree, which says nothing.
    public init() {}
}

extension SandboxSpec {
    /// The whole command. As with other runtimes, a command that is given takes the place of the
    /// image's and stands behind its entrypoint; an entrypoint that is given, the place of both.
    public func wholeCommand(over image: ImageDefaults) -> [String] {
        if entrypoint == [""] { return command }
        if !entrypoint.isEmpty { return entrypoint + command }
        return image.entrypoint + (command.isEmpty ? image.command : command)
    }

    /// What is given, after what the image sets and the defaults, of each what is not replaced.
    func wholeEnvironment(over image: ImageDefaults) throws(CallFailure) -> [String] {
        var names: Set<Substring> = []
        for (index, entry) in environment.enumerated() {
            // Values are nobody's business but the workload's: they are in no message.
            guard names.insert(Self.name(of: entry)).inserted else {
                throw .invalid(
                    "spec.environment[\(index)]",
                    "sets `\(Self.name(of: entry))` a second time")
            }
        }
        var whole = environment
        for entry in image.environment.reversed() + Self.standardEnvironment.reversed()
        where names.insert(Self.name(of: entry)).inserted {
            whole.insert(entry, at: 0)
        }
        return whole
    }

    private static func name(of entry: String) -> Substring { entry.prefix { $0 != "=" } }

    private static var standardEnvironment: [String] {
        SandboxModel.SandboxSpec.defaultEnvironment
    }
}

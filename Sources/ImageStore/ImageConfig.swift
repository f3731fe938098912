internal import JSON

/// How an image wants to be run.
public struct ImageConfig: Equatable, Sendable {
    public var entrypoint: [String] = []
    public var command: [String] = []
    /// `NAME=value`, in order.
    public var environment: [String] = []
    /// Empty where the image names none.
    public var workingDirectory = ""
    /// A name or a number, and maybe `:` and a group.
    public var user = ""
    /// As in `SIGTERM`; empty where the image names none.
    public var stopSignal = ""
    /// In the order of their names.
    public var labels: [(name: String, value: String)] = []

    public init() {}

    /// What starts without other arguments.
    public var arguments: [String] { entrypoint + command }

    public static func == (left: ImageConfig, right: ImageConfig) -> Bool {
        left.entrypoint == right.entrypoint && left.command == right.command
            && left.environment == right.environment
            && left.workingDirectory == right.workingDirectory && left.user == right.user
            && left.stopSignal == right.stopSignal
            && left.labels.elementsEqual(right.labels) { $0 == $1 }
    }
}

extension ImageConfig {
    /// From the `config` of an image's configuration. Whatever names a program or a path must be
    /// one: bytes of zero end an argument.
    init(_ document: JSONDocument) throws(ImageError) {
        entrypoint = try document.texts("Entrypoint")
        command = try document.texts("Cmd")
        environment = try document.texts("Env")
        workingDirectory = try document.text("WorkingDir") ?? ""
        user = try document.text("User") ?? ""
        stopSignal = try document.text("StopSignal") ?? ""
        let members = try document.member("Labels")?.members() ?? []
        for (name, value) in members { labels.append((name, try value.text())) }
        labels.sort { $0.name < $1.name }
        let all = entrypoint + command + environment + [workingDirectory, user, stopSignal]
        guard !all.contains(where: { $0.utf8.contains(0) }) else {
            throw ImageError(.malformed, "\(document.path): a text with a zero byte")
        }
        guard workingDirectory.isEmpty || workingDirectory.hasPrefix("/") else {
            throw ImageError(
                .malformed, "\(document.path): the working directory is not absolute")
        }
        for entry in environment where !(entry.contains("=") && !entry.hasPrefix("=")) {
            throw ImageError(.malformed, "\(document.path): an environment entry without a name")
        }
    }

    /// As the store keeps it.
    var json: JSONValue {
        var object = JSONObject()
        object["entrypoint"] = JSONValue(entrypoint)
        object["command"] = JSONValue(command)
        object["environment"] = JSONValue(environment)
        object["workingDirectory"] = JSONValue(workingDirectory)
        object["user"] = JSONValue(user)
        object["stopSignal"] = JSONValue(stopSignal)
        var names = JSONObject()
        for (name, value) in labels { names[name] = .string(value) }
        object["labels"] = .object(names)
        return .object(object)
    }

    /// From what the store keeps.
    init(record document: JSONDocument) throws(ImageError) {
        entrypoint = try document.texts("entrypoint")
        command = try document.texts("command")
        environment = try document.texts("environment")
        workingDirectory = try document.text("workingDirectory") ?? ""
        user = try document.text("user") ?? ""
        stopSignal = try document.text("stopSignal") ?? ""
        for (name, value) in try document.member("labels")?.members() ?? [] {
            labels.append((name, try value.text()))
        }
    }
}

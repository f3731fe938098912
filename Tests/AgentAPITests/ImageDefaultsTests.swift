import AgentAPI
import SandboxModel
import Testing

/// What an image says, below what its user says.
@Suite struct ImageDefaultsTests {
    private var image: ImageDefaults {
        var defaults = ImageDefaults()
        defaults.entrypoint = ["/entry", "-x"]
        defaults.command = ["default"]
        defaults.environment = ["A=image", "PATH=/image", "B=image", "A=again"]
        defaults.workingDirectory = "/work"
        defaults.user = "7:8"
        return defaults
    }

    private func model(
        _ change: (inout AgentAPI.SandboxSpec) -> Void = { _ in }
    ) throws -> SandboxModel.SandboxSpec {
        var spec = AgentAPI.SandboxSpec(image: "app")
        change(&spec)
        return try spec.model(over: image) { $0 == "app" ? .init(user: 1, group: 2) : nil }
    }

    @Test("a command takes the place of the image's, an entrypoint that of both")
    func command() throws {
        #expect(try model().command == ["/entry", "-x", "default"])
        #expect(try model { $0.command = ["a", "b"] }.command == ["/entry", "-x", "a", "b"])
        #expect(try model { $0.entrypoint = ["/other"] }.command == ["/other"])
        #expect(
            try model {
                $0.entrypoint = ["/other", "y"]
                $0.command = ["a"]
            }.command == ["/other", "y", "a"])
        #expect(try model { $0.entrypoint = [""] }.command == [])
        #expect(
            try model {
                $0.entrypoint = [""]
                $0.command = ["a"]
            }.command == ["a"])
    }

    @Test("of each variable the last word holds: the user's, the image's, the default")
    func environment() throws {
        #expect(try model().environment == ["HOME=/", "PATH=/image", "B=image", "A=again"])
        #expect(
            try model { $0.environment = ["B=user", "HOME=/h"] }.environment
                == ["PATH=/image", "A=again", "B=user", "HOME=/h"])
        let error = #expect(throws: CallFailure.self) {
            _ = try model { $0.environment = ["A=secret", "A=secret"] }
        }
        #expect(error.map { !$0.message.contains("secret") } == true)
    }

    @Test("place and user are the image's where none is given")
    func rest() throws {
        #expect(try model().workingDirectory == "/work" && model().user == .init(user: 7, group: 8))
        let other = try model {
            $0.workingDirectory = "/"
            $0.user = "app"
        }
        #expect(other.workingDirectory == "/" && other.user == .init(user: 1, group: 2))
        #expect(throws: CallFailure.self) { _ = try model { $0.user = "none" } }
        #expect(try AgentAPI.SandboxSpec(image: "x").model { _ in nil }.workingDirectory == "/")
    }

    @Test("a user is known by numbers alone where nothing has to be looked up")
    func numbers() {
        typealias User = SandboxModel.SandboxSpec.User
        #expect(User(numbers: "") == .root && User(numbers: "1:2") == .init(user: 1, group: 2))
        for text in ["1", "a", "1:a", ":", "1:2:3", "-0:0", "4294967296:0"] {
            #expect(User(numbers: text) == nil, "\(text)")
        }
    }
}

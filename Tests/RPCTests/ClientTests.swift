import TestSupport
import Testing

/// What a client that nobody here wrote says of the server.
@Suite(.serialized) struct ClientTests {
    @Test(
        "every kind of call, metadata, status, deadline and cancellation works with grpcio",
        .needs(.pythonEnvironment))
    func calls() throws {
        try Conversation(script: "calls").run()
    }

    @Test(
        "many calls, slow clients and clients that vanish leave memory and descriptors flat",
        .needs(.pythonEnvironment))
    func load() throws {
        try Conversation(script: "load").run()
    }

    @Test(
        "no bytes on the wire stop the server, hold its memory or keep a connection",
        .needs(.pythonEnvironment))
    func raw() throws {
        try Conversation(script: "raw", options: ["handshake=300", "connections=20"]).run()
    }
}

/// Servers that the script itself starts, each at the same path.
@Suite struct AccessTests {
    @Test(
        "sockets have their mode and users, are never stolen, and servers end gracefully",
        .needs(.pythonEnvironment, .root))
    func access() throws {
        try Conversation(script: "access", options: nil).run()
    }

    @Test(
        "health is checked and watched, and every name of a service's files is found",
        .needs(.pythonEnvironment))
    func standardServices() throws {
        try Conversation(script: "standard", options: nil).run()
    }
}

import Foundation
import TestSupport
import Testing

/// A server of its own and a script of `Python` that talks to it.
struct Conversation {
    let script: String
    /// Those of the server; nil when the script starts its servers itself.
    var options: [String]? = []

    /// Runs both to their ends. The server must end well when it is asked to.
    func run() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "rpc-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let socket = folder.appendingPathComponent("s").path
        let program = try Products.toolPath("RPCTestServer")
        guard let options else {
            try talk([socket, "0", program])
            return
        }
        let server = try ChildProcess(program, arguments: [socket] + options)
        try server.waitForOutput("ready\n")
        try talk([socket, "\(server.pid)", program])
        try server.send(signal: SIGTERM)
        let ending = try server.finish()
        #expect(ending.succeeded && ending.output.hasSuffix("stopped\n"), "\(ending)")
    }

    private func talk(_ arguments: [String]) throws {
        let path = PackageRoot.path("Tests/RPCTests/Python/\(script).py")
        let result = try TestSupport.run(
            PythonEnvironment.interpreter, arguments: ["-B", path] + arguments,
            timeout: .seconds(600))
        #expect(result.succeeded, "\(result)")
    }
}

import Foundation
import TestSupport
import Testing

/// A script of `Python`, or of another folder of the tests.
struct AgentScript {
    let path: String
    let arguments: [String]

    init(_ name: String, in folder: String = "AgentTests/Python", _ arguments: String...) {
        path = PackageRoot.path("Tests/\(folder)/\(name).py")
        self.arguments = arguments
    }

    /// Runs it to its end, which must be a good one.
    func run(sourceLocation: SourceLocation = #_sourceLocation) throws {
        var environment = ProcessInfo.processInfo.environment
        environment["ALCOVE_PRODUCTS"] = try Products.folderPath()
        // A server that goes away is no news to these scripts.
        environment["GRPC_VERBOSITY"] = "ERROR"
        let result = try TestSupport.run(
            PythonEnvironment.interpreter, arguments: ["-B", path] + arguments,
            environment: environment, timeout: .seconds(900))
        #expect(result.succeeded, "\(result)", sourceLocation: sourceLocation)
    }
}

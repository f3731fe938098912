import Foundation
import TestSupport
import Testing

/// A script of `Python`.
struct AgentScript {
    let name: String

    init(_ name: String) {
        self.name = name
    }

    /// Runs it to its end, which must be a good one.
    func run(sourceLocation: SourceLocation = #_sourceLocation) throws {
        var environment = ProcessInfo.processInfo.environment
        environment["ALCOVE_PRODUCTS"] = try Products.folderPath()
        // A server that goes away is no news to these scripts.
        environment["GRPC_VERBOSITY"] = "ERROR"
        let path = PackageRoot.path("Tests/AgentTests/Python/\(name).py")
        let result = try TestSupport.run(
            PythonEnvironment.interpreter, arguments: ["-B", path], environment: environment,
            timeout: .seconds(900))
        #expect(result.succeeded, "\(result)", sourceLocation: sourceLocation)
    }
}

import Foundation
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .tun, .python3, .ip, .nft)) struct CyclesTests {
    @Test("of three hundred sandboxes that came and went nothing is left, nor of their memory")
    func cycles() throws {
        var environment = ProcessInfo.processInfo.environment
        environment["ALCOVE_NETWORK_PROBE"] = try Products.toolPath("NetworkProbe")
        let result = try run(
            PackageRoot.path("scripts/bench-network"),
            arguments: ["cycles", "--check", "--count", "300", "--seed", "7"],
            environment: environment, timeout: .seconds(300))
        #expect(result.succeeded, "\(result)")
    }
}

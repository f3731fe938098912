import TestSupport
import Testing

extension AgentTests {
    /// `scripts/netlab test all` has more, for which this is no time.
    @Test(
        "two nodes and two proxies let everybody reach what is specified, and nothing else",
        .needs(.netAdmin, .ip, .nft, .cc))
    func netlab() throws {
        try AgentScript("netlab", in: "Netlab", "test", "quick").run()
    }
}

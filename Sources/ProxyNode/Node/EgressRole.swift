/// Whether a proxy is to have the fixed addresses that it shares with others, by what it hears of
/// these and through the tunnel. It does nothing, and knows no clock: it is told of each look.
struct EgressRole: Hashable, Sendable {
    /// Looks in a row at which nothing had come through the tunnel, before one that does not have
    /// the addresses does not take them: it may be cut off itself, and what it takes is another's.
    static let quietBeforeRefusal = 2
    /// And before one that has them gives them up, since somebody else may need them.
    static let quietBeforeRelease = 15
    /// Looks at which something had come, after one was cut off: who is alive has answered by then.
    static let looksAfterQuiet = 5

    struct Peer: Hashable, Sendable {
        let name: String
        let rank: UInt8
        let isAlive: Bool
    }

    struct Verdict: Hashable, Sendable {
        let holds: Bool
        /// One line, without a full stop.
        let reason: String
    }

    let rank: UInt8
    private(set) var isUplinkUp = true
    private var quiet = 0
    /// Looks that are to come before it is no longer taken for cut off.
    private var distrust = 0
    private var received: UInt64?

    /// - Parameter isTrusted: whether it is taken for one that is not cut off, before it has heard
    ///   anything.
    init(rank: UInt8, isTrusted: Bool) {
        self.rank = rank
        distrust = isTrusted ? 0 : Self.looksAfterQuiet
    }

    /// - Parameter received: how many packets have come through the tunnel.
    mutating func look(received: UInt64, isUplinkUp: Bool) {
        self.isUplinkUp = isUplinkUp
        if self.received == received {
            quiet += 1
            if quiet >= Self.quietBeforeRefusal { distrust = Self.looksAfterQuiet }
        } else {
            quiet = 0
            distrust = max(0, distrust - 1)
        }
        self.received = received
    }

    /// - Parameters:
    ///   - holds: whether it has the addresses.
    ///   - hasNodes: whether anybody but proxies is to be heard.
    func verdict(holds: Bool, peers: [Peer], hasNodes: Bool) -> Verdict {
        // They are nobody else's.
        guard !peers.isEmpty else { return Verdict(holds: true, reason: "no other proxy has them") }
        guard isUplinkUp else { return Verdict(holds: false, reason: "the uplink is down") }
        if let better = peers.first(where: { $0.isAlive && $0.rank < rank }) {
            return Verdict(holds: false, reason: "\(better.name) is alive")
        }
        let isQuiet = holds ? quiet >= Self.quietBeforeRelease : distrust > 0
        return hasNodes && isQuiet && !peers.contains(where: \.isAlive)
            ? Verdict(holds: false, reason: "nothing comes through the tunnel")
            : Verdict(holds: true, reason: "no proxy of a lower rank is alive")
    }

    /// Whether it may be cut off, or was until a moment ago.
    var mayBeCutOff: Bool { distrust > 0 }

    /// Whether it is sure that the addresses are its own, and may tell others so. One that hears
    /// all others need not wait for who else is alive.
    func mayAnnounce(peers: [Peer]) -> Bool {
        let hearsAll = quiet == 0 && !peers.isEmpty && peers.allSatisfy(\.isAlive)
        return isUplinkUp && !peers.contains { $0.isAlive && $0.rank < rank }
            && (!mayBeCutOff || hearsAll)
    }
}

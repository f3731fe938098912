import HostNetwork
import LinuxKernel
import Netlink

/// Sandboxes that come and go, each with something else of all that it can be given.
struct Cycles {
    let network: HostNetwork
    let vpc: VPCNumber
    private var random: SplitMix

    init(_ network: HostNetwork, _ vpc: VPCNumber, seed: UInt64) {
        self.network = network
        self.vpc = vpc
        random = SplitMix(state: seed)
    }

    /// Makes slots by parts, attaches and detaches each, and gives them back.
    mutating func run(_ count: Int) throws {
        var rest = count
        while rest > 0 {
            let part = min(rest, Int.random(in: 1...16, using: &random))
            let kind: SlotKind = Int.random(in: 0..<8, using: &random) == 0 ? .tap : .namespace
            let slots = try network.makeSlots(part, kind)
            for (place, slot) in slots.enumerated() {
                try network.apply(settings(place), to: slot.index)
                if Bool.random(using: &random) {
                    try network.apply(settings(place), to: slot.index)
                }
                // The rest is given back as it is.
                if Bool.random(using: &random) { try network.detach(vpc, from: slot.index) }
            }
            try network.giveBack(slots.map(\.index))
            rest -= part
        }
    }

    private mutating func settings(_ place: Int) -> SlotSettings {
        var settings = SlotSettings(isPublic: Bool.random(using: &random), vpcs: [vpc])
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            settings.rules.append(
                EgressRule(Bool.random(using: &random) ? .allow : .deny, transport: .tcp))
        }
        if Bool.random(using: &random) {
            settings.limits.outwardBytes = TokenBucket(.bytes, perSecond: 1 << 20, burst: 1 << 16)
            settings.limits.newFlows = TokenBucket(.packets, perSecond: 100, burst: 10)
        }
        if Bool.random(using: &random) { settings.names = [NameRule(.allow, .every)] }
        if Bool.random(using: &random) {
            settings.ports = [
                PublishedPort(.tcp, nodePort: 8000 + UInt16(place), to: 80),
                PublishedPort(.udp, nodePort: 8000 + UInt16(place), to: 80),
            ]
        }
        return settings
    }
}

/// SplitMix64: the same seed gives the same numbers everywhere.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

import Testing

@testable import ProxyNode

@Suite("Who has the fixed addresses")
struct EgressRoleTests {
    private func peer(_ rank: UInt8, alive: Bool) -> EgressRole.Peer {
        EgressRole.Peer(name: "peer \(rank)", rank: rank, isAlive: alive)
    }

    /// A role that has looked so often, and heard something each time or not.
    private func role(_ rank: UInt8 = 1, heard: [Bool], isUplinkUp: Bool = true) -> EgressRole {
        var role = EgressRole(rank: rank, isTrusted: true)
        var received: UInt64 = 7
        role.look(received: received, isUplinkUp: isUplinkUp)
        for heard in heard {
            if heard { received += 1 }
            role.look(received: received, isUplinkUp: isUplinkUp)
        }
        return role
    }

    private func holds(
        _ role: EgressRole, before: Bool, _ peers: [EgressRole.Peer], hasNodes: Bool = true
    ) -> Bool {
        role.verdict(holds: before, peers: peers, hasNodes: hasNodes).holds
    }

    @Test("the lowest rank that is alive has them", arguments: [true, false])
    func ranks(before: Bool) {
        let role = role(heard: [true])
        #expect(!holds(role, before: before, [peer(0, alive: true)]))
        #expect(!holds(role, before: before, [peer(0, alive: true), peer(2, alive: true)]))
        #expect(holds(role, before: before, [peer(0, alive: false)]))
        #expect(holds(role, before: before, [peer(0, alive: false), peer(2, alive: true)]))
        #expect(holds(role, before: before, []))
        #expect(holds(self.role(heard: [], isUplinkUp: false), before: before, []))
        let verdict = role.verdict(holds: before, peers: [peer(0, alive: true)], hasNodes: true)
        #expect(verdict.reason == "peer 0 is alive")
    }

    @Test("who hears nobody takes nothing, until it has heard somebody for a while")
    func quiet() {
        let dead = [peer(0, alive: false)]
        #expect(holds(role(heard: [true, false]), before: false, dead))
        #expect(!holds(role(heard: [false, false]), before: false, dead))
        var heard = [false, false]
        for _ in 1..<EgressRole.looksAfterQuiet {
            heard.append(true)
            #expect(!holds(role(heard: heard), before: false, dead))
            #expect(!role(heard: heard).mayAnnounce(peers: dead))
        }
        #expect(holds(role(heard: heard + [true]), before: false, dead))
        var new = EgressRole(rank: 0, isTrusted: false)
        #expect(!holds(new, before: false, [peer(1, alive: false)]))
        for received in 0...UInt64(EgressRole.looksAfterQuiet) {
            new.look(received: received, isUplinkUp: true)
        }
        #expect(holds(new, before: false, [peer(1, alive: false)]))
        // Another proxy is somebody; and without nodes there is nobody to be heard.
        #expect(
            holds(
                role(heard: [false, false]), before: false,
                dead + [peer(2, alive: true)]))
        #expect(holds(role(heard: [false, false]), before: false, dead, hasNodes: false))
    }

    @Test(
        "who has them and hears nobody gives them up after a longer while, and is still till then")
    func release() {
        let dead = [peer(0, alive: false), peer(2, alive: false)]
        let short = [Bool](repeating: false, count: EgressRole.quietBeforeRelease - 1)
        #expect(holds(role(heard: short), before: true, dead))
        #expect(!role(heard: short).mayAnnounce(peers: dead))
        #expect(!holds(role(heard: short + [false]), before: true, dead))
    }

    @Test("who has them and was cut off for a moment says so again once it hears all others")
    func returned() {
        let cut = [Bool](repeating: false, count: EgressRole.quietBeforeRefusal)
        let others = [peer(2, alive: true), peer(3, alive: true)]
        #expect(!role(heard: cut).mayAnnounce(peers: others))
        #expect(role(heard: cut + [true]).mayAnnounce(peers: others))
        let one = [peer(2, alive: true), peer(3, alive: false)]
        #expect(!role(heard: cut + [true]).mayAnnounce(peers: one))
        let all = [Bool](repeating: true, count: EgressRole.looksAfterQuiet)
        #expect(role(heard: cut + all).mayAnnounce(peers: one))
    }

    @Test("without an uplink nobody has them", arguments: [true, false])
    func uplink(before: Bool) {
        let role = role(0, heard: [true], isUplinkUp: false)
        let verdict = role.verdict(holds: before, peers: [peer(1, alive: true)], hasNodes: true)
        #expect(verdict == .init(holds: false, reason: "the uplink is down"))
        #expect(!role.mayAnnounce(peers: []))
    }
}

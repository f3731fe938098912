import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .nft)) struct NetfilterTests {
    private let network: TestNetwork
    private let filter: NetlinkSocket
    private let table = NetfilterTable("test")

    init() throws {
        network = try TestNetwork()
        filter = try NetlinkSocket(.netfilter, in: network.namespace)
    }

    private func perform(_ body: (inout NetfilterTransaction) -> Void) throws(NetlinkError) {
        var transaction = NetfilterTransaction()
        body(&transaction)
        try filter.perform(transaction)
    }

    /// What `nft` lists, without the space before lines.
    private func listed() throws -> [String] {
        try network.tell("nft", ["list", "ruleset"]).split(separator: "\n").map {
            String($0.drop { $0 == "\t" || $0 == " " })
        }
    }

    @Test("sets and maps of each kind are those that `nft` lists")
    func sets() throws {
        let addresses = NetfilterSet("addresses", of: table, key: .address)
        let slots = NetfilterSet(
            "slots", of: table, key: .linkIndex, leadingTo: .values(.address))
        let marks = NetfilterSet("marks", of: table, key: .address, leadingTo: .values(.mark))
        let verdicts = NetfilterSet("verdicts", of: table, key: .address, leadingTo: .verdicts)
        let ranges = NetfilterSet("ranges", of: table, key: .address, ranges: true)
        let joined = NetfilterSet(
            "joined", of: table, key: .joined(.mark, .address), ranges: true)
        try perform {
            $0.addTable(table)
            for set in [addresses, slots, marks, verdicts, ranges, joined] { $0.addSet(set) }
            $0.addChain("leaf", of: table)
            $0.addElements([NetfilterElement([10, 0, 0, 1])], to: addresses)
            $0.addElements(
                [NetfilterElement([1, 0, 0, 0], to: .value([100, 64, 0, 1]))], to: slots)
            $0.addElements([NetfilterElement([10, 0, 0, 1], to: .value([9, 0, 0, 0]))], to: marks)
            $0.addElements(
                [
                    NetfilterElement([10, 0, 0, 1], to: .verdict(.drop)),
                    NetfilterElement([10, 0, 0, 2], to: .verdict(.jump(chain: "leaf"))),
                ], to: verdicts)
            $0.addElements(
                [
                    NetfilterElement([10, 0, 0, 0], through: [10, 255, 255, 255]),
                    NetfilterElement([224, 0, 0, 0], through: [255, 255, 255, 255]),
                ], to: ranges)
            $0.addElements(
                [
                    NetfilterElement(
                        [7, 0, 0, 0, 10, 0, 0, 0], through: [7, 0, 0, 0, 10, 0, 0, 255])
                ],
                to: joined)
        }
        let lines = try listed()
        for line in [
            "elements = { 10.0.0.1 }", "type iface_index : ipv4_addr",
            "elements = { \"lo\" : 100.64.0.1 }",
            "elements = { 10.0.0.1 : 0x00000009 }", "type ipv4_addr : verdict",
            "elements = { 10.0.0.1 : drop, 10.0.0.2 : jump leaf }",
            "elements = { 10.0.0.0/8, 224.0.0.0/3 }", "type mark . ipv4_addr",
            // Parts in the order of this machine it lists with their bytes swapped.
            "elements = { 0x07000000 . 10.0.0.0/24 }",
        ] { #expect(lines.contains(line), "\(line) in \(lines)") }
        #expect(try filter.keys(of: slots) == [[1, 0, 0, 0]])
        #expect(Set(try filter.keys(of: verdicts)) == [[10, 0, 0, 1], [10, 0, 0, 2]])
        try perform {
            $0.deleteElements(
                [NetfilterElement([10, 0, 0, 0], through: [10, 255, 255, 255])], of: ranges)
            $0.deleteElements(
                [
                    NetfilterElement(
                        [7, 0, 0, 0, 10, 0, 0, 0], through: [7, 0, 0, 0, 10, 0, 0, 255])
                ],
                of: joined)
            $0.clearSet(verdicts)
            $0.deleteSet(slots)
        }
        #expect(try filter.keys(of: joined).isEmpty && filter.keys(of: verdicts).isEmpty)
        #expect(try listed().contains("elements = { 224.0.0.0/3 }"))
        #expect(throws: NetlinkError.self) { try filter.keys(of: slots) }
    }

    @Test("rules are those that `nft` lists, at their hooks")
    func rules() throws {
        let slots = NetfilterSet(
            "slots", of: table, key: .linkIndex, leadingTo: .values(.address))
        let buckets = NetfilterSet("buckets", of: table, key: .address, leadingTo: .buckets)
        try perform {
            $0.addTable(table)
            $0.addSet(slots)
            $0.addSet(buckets)
            $0.addBucket(
                TokenBucket(.bytes, perSecond: 1000, burst: 70000), named: "b1", of: table)
            $0.addElements(
                [NetfilterElement([10, 0, 0, 1], to: .bucket(name: "b1"))], to: buckets)
            $0.addChain(
                "first", of: table, at: NetfilterHook(.filter, .prerouting, priority: -300))
            $0.addChain(
                "last", of: table,
                at: NetfilterHook(.filter, .forward, priority: 0, dropsByDefault: true))
            $0.addRule(
                [
                    .loadBytes(.network, offset: 12, count: 4),
                    .compare(.notEqual, [172, 31, 255, 2]), .counter, .verdict(.drop),
                ], to: "first", of: table, label: [1, 2])
            $0.addRule(
                [
                    .load(.inputIndex), .look(map: "slots"),
                    .storeBytes(.network, offset: 12, count: 4, repairing: .addresses),
                ], to: "first", of: table)
            $0.addRule(
                [
                    .loadFlow(.state), .mask([6, 0, 0, 0]), .compare(.notEqual, [0, 0, 0, 0]),
                    .verdict(.accept),
                ], to: "last", of: table)
            $0.addRule(
                [
                    .loadBytes(.network, offset: 12, count: 4), .apply(map: "buckets"),
                    .verdict(.drop),
                ], to: "last", of: table)
            $0.addRule(
                [.load(.protocolNumber), .compare(.equal, [6])]
                    + [
                        .loadBytes(.transport, offset: 2, count: 2),
                        .within([0, 80], [1, 187]), .verdict(.accept),
                    ], to: "last", of: table)
        }
        let lines = try listed()
        for line in [
            "type filter hook prerouting priority raw; policy accept;",
            "type filter hook forward priority filter; policy drop;",
            "ip saddr != 172.31.255.2 counter packets 0 bytes 0 drop",
            "ip saddr set iif map @slots", "ct state established,related accept",
            "limit name ip saddr map @buckets drop", "tcp dport 80-443 accept",
            "elements = { 10.0.0.1 : \"b1\" }",
            "rate over 1000 bytes/second burst 70000 bytes",
        ] { #expect(lines.contains(line), "\(line) in \(lines)") }
        let first = try filter.rules(of: "first", in: table)
        #expect(first.map(\.label) == [[1, 2], []] && first.map(\.packets) == [0, nil])
        try perform { $0.clearChain("first", of: table) }
        #expect(try filter.rules(of: "first", in: table).isEmpty)
        try perform { $0.deleteTable(table) }
        #expect(try listed().isEmpty)
    }

    @Test("a transaction in which one change fails changes nothing, and says which it was")
    func failures() throws {
        let set = NetfilterSet("set", of: table, key: .address)
        let error = try #require(throws: NetlinkError.self) {
            try perform {
                $0.addTable(table)
                $0.addSet(set)
                $0.addRule([.verdict(.jump(chain: "nowhere"))], to: "none", of: table)
                $0.addElements([NetfilterElement([1, 2, 3, 4])], to: set)
            }
        }
        #expect(error.action == "add rule" && error.subject == "none")
        #expect(error.errorNumber == .noEntry)
        #expect(try listed().isEmpty)
        try perform { $0.addTable(table) }
        #expect(throws: NetlinkError.self) {
            try perform { $0.deleteElements([NetfilterElement([1, 2, 3, 4])], of: set) }
        }
        try perform { $0.replaceTable(table) }
        try perform { _ in }
    }

    @Test("five thousand elements go in one transaction, and are listed")
    func many() throws {
        let set = NetfilterSet("set", of: table, key: .address)
        let keys = (UInt32(0)..<5000).map { IPv4Address(10, 0, 0, 0).advanced(by: $0).bytes }
        try perform {
            $0.addTable(table)
            $0.addSet(set)
            $0.addElements(keys.map { NetfilterElement($0) }, to: set)
        }
        #expect(Set(try filter.keys(of: set)) == Set(keys))
    }

    @Test("flows that an address began are forgotten, and it is no error when there are none")
    func flows() throws {
        try filter.forgetFlows(from: IPv4Address(10, 0, 0, 1))
    }
}

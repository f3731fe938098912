internal import LinuxKernel

/// An end of flows, as one direction of them has it.
private enum FlowEnd: UInt16 {
    /// CTA_TUPLE_ORIG
    case began = 1
    /// CTA_TUPLE_REPLY
    case answers = 2

    /// CTA_FILTER_ORIG_FLAGS and CTA_FILTER_REPLY_FLAGS: by the source of one direction, by nothing
    /// of the other.
    var flags: (first: UInt32, answer: UInt32) { self == .began ? (1, 0) : (0, 1) }
}

// Flows that the kernel keeps track of.
extension NetlinkSocket {
    /// Forgets every flow that an address began. What still comes of them is new.
    public func forgetFlows(from address: IPv4Address) throws(NetlinkError) {
        try forget(.began, address)
    }

    /// Forgets every flow whose answers come from an address, whoever began it.
    public func forgetFlows(answeredFrom address: IPv4Address) throws(NetlinkError) {
        try forget(.answers, address)
    }

    private func forget(_ end: FlowEnd, _ address: IPv4Address) throws(NetlinkError) {
        var batch = NetlinkBatch()
        // IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK
        batch.add(0x102, [], "forget flows", "\(address)") { Self.select(end, address, in: &$0) }
        do throws(NetlinkError) {
            try perform(batch)
        } catch {
            // Linux takes a filter here from 6.8 on, and for lists from 5.8 on.
            guard error.errorNumber == .invalid else { throw error }
            try forgetOneByOne(end, address)
        }
    }

    private static func select(
        _ end: FlowEnd, _ address: IPv4Address, in message: inout NetlinkWriter
    ) {
        // Version 1 of the message: its family is heeded.
        message.put(AddressFamily.ipv4)
        message.put(UInt8(1))
        message.put(UInt16(0))
        // CTA_TUPLE_IP: CTA_IP_V4_SRC
        message.nest(end.rawValue) { $0.nest(1) { $0.attribute(1, address) } }
        // CTA_FILTER
        message.nest(25) {
            $0.attribute(1, end.flags.first)
            $0.attribute(2, end.flags.answer)
        }
    }

    private func forgetOneByOne(
        _ end: FlowEnd, _ address: IPv4Address
    ) throws(NetlinkError) {
        var flows: [(tuple: [UInt8], zone: [UInt8]?)] = []
        // IPCTNL_MSG_CT_GET
        try collect(0x101, "flows") {
            Self.select(end, address, in: &$0)
        } each: { (message) throws(NetlinkError) in
            guard let attributes = message.attributes(after: 4), let tuple = attributes[1] else {
                return
            }
            // CTA_ZONE
            flows.append((Array(tuple), attributes[18].map { Array($0) }))
        }
        var batch = NetlinkBatch()
        for flow in flows {
            batch.add(0x102, [], "forget a flow", "\(address)") { message in
                message.put(AddressFamily.ipv4)
                message.put(UInt8(0))
                message.put(UInt16(0))
                message.nest(FlowEnd.began.rawValue) { $0.put(flow.tuple) }
                if let zone = flow.zone { message.attribute(18, zone) }
            }
        }
        guard !flows.isEmpty else { return }
        for failure in try failures(of: batch) where failure.error.errorNumber != .noEntry {
            throw failure.error
        }
    }
}

// Flows that the kernel keeps track of.
extension NetlinkSocket {
    /// Forgets every flow that an address began. What still comes of them is new.
    public func forgetFlows(from address: IPv4Address) throws(NetlinkError) {
        var batch = NetlinkBatch()
        // IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK
        batch.add(0x102, [], "forget flows", "\(address)") {
            // Version 1 of the message: its family is heeded.
            $0.put(AddressFamily.ipv4)
            $0.put(UInt8(1))
            $0.put(UInt16(0))
            // CTA_TUPLE_ORIG: CTA_TUPLE_IP: CTA_IP_V4_SRC
            $0.nest(1) { $0.nest(1) { $0.attribute(1, address) } }
            // CTA_FILTER: by the source of the first direction, by nothing of the other
            $0.nest(25) {
                $0.attribute(1, UInt32(1))
                $0.attribute(2, UInt32(0))
            }
        }
        try perform(batch)
    }

    /// Forgets every flow whose answers come from an address, whoever began it.
    public func forgetFlows(answeredFrom address: IPv4Address) throws(NetlinkError) {
        var batch = NetlinkBatch()
        batch.add(0x102, [], "forget flows", "\(address)") {
            $0.put(AddressFamily.ipv4)
            $0.put(UInt8(1))
            $0.put(UInt16(0))
            // CTA_TUPLE_REPLY, with the same filter the other way round
            $0.nest(2) { $0.nest(1) { $0.attribute(1, address) } }
            $0.nest(25) {
                $0.attribute(1, UInt32(0))
                $0.attribute(2, UInt32(1))
            }
        }
        try perform(batch)
    }
}

internal import Console
internal import GuestLink

/// What a guest's link is given before the command starts.
enum NetworkFlags {
    static let flags = [
        Flag(
            "address", value: "ADDRESS/PREFIX",
            help: "the link's address in the guest, as in 172.31.255.2/30; without it the link"
                + " stays down"),
        Flag("gateway", value: "ADDRESS", help: "where the guest sends what is not near"),
        Flag("name-server", value: "ADDRESS", help: "where the guest asks for names"),
        Flag("mtu", value: "BYTES", help: "how large the link's packets are"),
    ]

    /// Nothing where no address is given.
    static func network(_ parsed: ParsedCommand) throws(FlagError) -> GuestNetwork? {
        let gateway = try address("gateway", parsed)
        let server = try address("name-server", parsed)
        let mtu = try parsed.integer("mtu", in: 576...65535)
        guard let text = parsed.string("address") else {
            guard gateway == nil, server == nil, mtu == nil else {
                throw FlagError(
                    "`--gateway`, `--name-server` and `--mtu` need `--address`",
                    hint: "as in `--address 172.31.255.2/30`")
            }
            return nil
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let own = number(parts[0]), let length = UInt8(parts[1]),
            (1...32).contains(length)
        else {
            throw parsed.refuse("address", "is no ADDRESS/PREFIX", hint: "as in 172.31.255.2/30")
        }
        return GuestNetwork(
            address: own, prefixLength: length, gateway: gateway ?? 0, nameServer: server ?? 0,
            mtu: UInt16(clamping: mtu ?? 0))
    }

    private static func address(
        _ flag: String, _ parsed: ParsedCommand
    ) throws(FlagError) -> UInt32? {
        guard let text = parsed.string(flag) else { return nil }
        guard let address = number(text[...]) else {
            throw parsed.refuse(flag, "is no address", hint: "as in 172.31.255.1")
        }
        return address
    }

    private static func number(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? UInt8(part) : nil
        }
        guard parts.count == 4, bytes.count == 4 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

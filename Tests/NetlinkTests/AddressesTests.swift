import Netlink
import Testing

@Suite struct AddressesTests {
    @Test("an address is read as it is written, and nothing else is one")
    func addresses() throws {
        for text in ["0.0.0.0", "10.1.2.3", "255.255.255.255"] {
            #expect(IPv4Address(text)?.description == text)
        }
        for text in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1..2.3", "+1.2.3.4", "a"] {
            #expect(IPv4Address(text) == nil, "\(text)")
        }
        #expect(IPv4Address(10, 0, 0, 255).advanced(by: 1) == IPv4Address(10, 0, 1, 0))
    }

    @Test("a prefix has no bits behind its length, and knows what is in it")
    func prefixes() throws {
        let prefix = try #require(IPv4Prefix("10.8.0.0/13"))
        #expect(prefix.description == "10.8.0.0/13")
        #expect(prefix.last == IPv4Address(10, 15, 255, 255))
        #expect(prefix.contains(IPv4Address(10, 15, 0, 1)))
        #expect(!prefix.contains(IPv4Address(10, 16, 0, 0)))
        #expect(IPv4Prefix("10.8.0.1/13") == nil)
        #expect(IPv4Prefix("10.8.0.0/33") == nil)
        #expect(IPv4Prefix("10.8.0.0/") == nil)
        #expect(IPv4Prefix("10.8.0.1")?.length == 32)
        #expect(IPv4Prefix.everything.contains(IPv4Address(255, 0, 0, 1)))
        #expect(IPv4Prefix.everything.last == IPv4Address(255, 255, 255, 255))
    }

    @Test("prefixes overlap when one is within the other, either way")
    func overlaps() throws {
        let wide = try #require(IPv4Prefix("10.0.0.0/8"))
        let narrow = try #require(IPv4Prefix("10.1.0.0/16"))
        let other = try #require(IPv4Prefix("10.2.0.0/16"))
        #expect(wide.overlaps(narrow) && narrow.overlaps(wide))
        #expect(!narrow.overlaps(other) && !other.overlaps(narrow))
    }

    @Test("the address of a card has six bytes")
    func cards() throws {
        #expect(LinkAddress(bytes: [1, 2, 3, 4, 5]) == nil)
        #expect(LinkAddress(bytes: [2, 0, 0, 0, 0xfe, 5])?.description == "02:00:00:00:fe:05")
        #expect(LinkAddress(local: 0x0a00_0001).description == "02:ac:0a:00:00:01")
    }
}

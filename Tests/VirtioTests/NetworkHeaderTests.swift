import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

/// A header as a guest writes it.
private struct GuestHeader {
    var flags: UInt8 = 0
    var segmentation: UInt8 = 0
    var headerCount: UInt16 = 0
    var segmentCount: UInt16 = 0
    var checksumStart: UInt16 = 0
    var checksumOffset: UInt16 = 0
    var buffers: UInt16 = 0

    var bytes: [UInt8] {
        [flags, segmentation]
            + [headerCount, segmentCount, checksumStart, checksumOffset, buffers].flatMap {
                [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
            }
    }

    /// A large packet of TCP over IPv4 without options.
    static let large = GuestHeader(
        flags: 1, segmentation: 1, headerCount: 54, segmentCount: 1460, checksumStart: 34,
        checksumOffset: 16)
}

@Suite struct NetworkHeaderTests {
    private static let frame = patternedBytes(200, seed: 3)

    @Test("what a guest may say of a frame reaches the host, without what says nothing")
    func good() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        var version6 = GuestHeader.large
        version6.segmentation = 4
        let checksum = GuestHeader(flags: 1, checksumStart: 34, checksumOffset: 164)
        for header in [GuestHeader(), .large, version6, checksum] {
            #expect(try guest.send(Self.frame, header: header.bytes))
            #expect(try peer.receive() == header.bytes + Self.frame)
        }
        // Bits of the other direction, and numbers that belong to nothing.
        let noise = GuestHeader(
            flags: 0xfe, headerCount: 9999, segmentCount: 3, checksumStart: 9999,
            checksumOffset: 1, buffers: 7)
        #expect(try guest.send(Self.frame, header: noise.bytes))
        #expect(try peer.receive() == GuestHeader().bytes + Self.frame)
        #expect(guest.counters.invalid == 0)
    }

    @Test("what a guest may not say of a frame ends it")
    func bad() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device)
        func changed(_ change: (inout GuestHeader) -> Void) -> GuestHeader {
            var header = GuestHeader.large
            change(&header)
            return header
        }
        let headers = [
            changed { $0.segmentation = 2 }, changed { $0.segmentation = 3 },
            changed { $0.segmentation = 5 }, changed { $0.segmentation = 0x81 },
            changed { $0.segmentation = .max }, changed { $0.segmentCount = 0 },
            changed { $0.headerCount = 201 }, changed { $0.headerCount = .max },
            changed { $0.flags = 0 }, changed { $0.checksumStart = 13 },
            changed { $0.checksumStart = 183 }, changed { $0.checksumOffset = .max },
            GuestHeader(flags: 1, checksumStart: .max, checksumOffset: .max),
            GuestHeader(flags: 1, checksumStart: 34, checksumOffset: 165),
        ]
        for header in headers {
            #expect(try guest.send(Self.frame, header: header.bytes))
            #expect(try peer.receive() == nil, "\(header)")
        }
        #expect(guest.counters.invalid == UInt64(headers.count))
        // Too short, and too long.
        try guest.send([UInt8](repeating: 1, count: 13))
        try guest.send([], header: [1, 2, 3])
        try guest.send([UInt8](repeating: 1, count: 65_554))
        #expect(try peer.receive() == nil)
        #expect(guest.counters.invalid == UInt64(headers.count) + 3)
        #expect(guest.driver.transport.failure == nil)
    }

    @Test("what the driver did not agree on is no frame")
    func disagreed() throws {
        let peer = try FramePeer()
        let guest = try GuestNetwork(peer.device, features: 1 << 32)
        for header in [GuestHeader.large, GuestHeader(flags: 1, checksumStart: 34)] {
            #expect(try guest.send(Self.frame, header: header.bytes))
        }
        #expect(try peer.receive() == nil && guest.counters.invalid == 2)
    }

    @Test("thousands of random frames and buffers fail nothing", arguments: 0..<4)
    func random(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let peer = try FramePeer()
        let guest = try GuestNetwork(
            peer.device, features: seed % 2 == 0 ? .max : ~GuestNetwork.Feature.mergedBuffers)
        for round in 0..<3000 {
            var header = (0..<12).map { _ in UInt8.random(in: 0...9, using: &random) }
            if round % 50 == 0 {
                header = Array(header.prefix(.random(in: 1..<12, using: &random)))
            }
            try guest.send(
                [UInt8](repeating: 5, count: .random(in: 1..<3000, using: &random)),
                header: header)
            try guest.pump()
            while try peer.receive() != nil {}
            guard round % 3 == 0 else { continue }
            try peer.send([UInt8](repeating: 6, count: .random(in: 14..<9000, using: &random)))
            if guest.buffersOut < 48 {
                let slot = round / 3 % 64
                try guest.offer(slot..<slot + 1, bytes: .random(in: 1..<4000, using: &random))
            }
            try guest.settle()
            #expect(guest.isWhole)
        }
        let counters = guest.counters
        #expect(counters.invalid > 0 && counters.packetsFromGuest > 0)
        #expect(counters.packetsToGuest == UInt64(guest.frames.count))
        #expect(counters.packetsToGuest > 0 && counters.dropped > 0)
    }
}

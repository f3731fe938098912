/// What is before each frame. Corresponds to `struct virtio_net_hdr_v1`.
struct NetworkHeader: Hashable {
    static let size = 12

    /// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
    private static let needsChecksum: UInt8 = 1

    /// Corresponds to `VIRTIO_NET_HDR_GSO_…`.
    enum Segmentation {
        static let none: UInt8 = 0
        static let tcp4: UInt8 = 1
        static let tcp6: UInt8 = 4
    }

    private var flags: UInt8
    private var segmentation: UInt8
    private var headerCount: UInt16
    private var segmentCount: UInt16
    private var checksumStart: UInt16
    private var checksumOffset: UInt16

    /// - Parameter bytes: at least ``size`` of them.
    init(_ bytes: [UInt8]) {
        flags = bytes[0]
        segmentation = bytes[1]
        headerCount = bytes.number(at: 2)
        segmentCount = bytes.number(at: 4)
        checksumStart = bytes.number(at: 6)
        checksumOffset = bytes.number(at: 8)
    }

    /// What the host's kernel is given: nothing that says nothing. The number of buffers belongs to
    /// the other direction.
    func write(into bytes: inout [UInt8]) {
        bytes[0] = flags
        bytes[1] = segmentation
        bytes.set(headerCount, at: 2)
        bytes.set(segmentCount, at: 4)
        bytes.set(checksumStart, at: 6)
        bytes.set(checksumOffset, at: 8)
        bytes.set(0 as UInt16, at: 10)
    }

    /// Whether it describes a frame of so many bytes in the way that driver and device agreed on.
    /// What has no meaning in it becomes zero.
    ///
    /// - Parameter features: what the driver accepted.
    mutating func check(frame count: Int, features: UInt64) -> Bool {
        func has(_ feature: Int) -> Bool { features & (1 << UInt64(feature)) != 0 }
        flags &= Self.needsChecksum
        let isPartial = flags != 0
        if isPartial {
            guard has(NetworkDevice.Feature.checksum),
                Int(checksumStart) + Int(checksumOffset) + 2 <= count
            else { return false }
        } else {
            checksumStart = 0
            checksumOffset = 0
        }
        switch segmentation {
        case Segmentation.none:
            headerCount = 0
            segmentCount = 0
            return true
        case Segmentation.tcp4:
            guard has(NetworkDevice.Feature.hostSegmentation4) else { return false }
        case Segmentation.tcp6:
            guard has(NetworkDevice.Feature.hostSegmentation6) else { return false }
        default:
            return false
        }
        // A segment of TCP has a checksum, after what is repeated in each.
        return isPartial && segmentCount > 0 && Int(headerCount) <= count
            && checksumStart >= NetworkDevice.ethernetBytes
    }
}

internal import LinuxKernel

/// Gives the guest random bytes of the host's. Corresponds to virtio-rng.
public final class EntropyDevice: VirtioDevice {
    public let kind = VirtioKind.entropy
    public let features: UInt64 = 0
    public let queueSizes: [UInt16] = [64]
    public let configuration: [UInt8] = []
    private var link: DeviceLink?
    private var chain = DescriptorChain()
    /// A request gets no more than this at once; drivers ask again.
    static let mostBytes = 4096

    public init() {}

    public func start(_ link: DeviceLink) {
        self.link = link
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        guard let link else { return }
        try link.drain(queue, into: &chain) { (chain) throws(DeviceFault) in
            let count = min(chain.writableCount, Self.mostBytes)
            let bytes = try Self.randomBytes(count)
            return try chain.write(bytes, to: link.memory)
        }
    }

    public func stop() {
        link = nil
    }

    private static func randomBytes(_ count: Int) throws(DeviceFault) -> [UInt8] {
        do throws(SystemCallError) {
            return try Randomness.bytes(count)
        } catch {
            throw .hostFailed("\(error)")
        }
    }
}

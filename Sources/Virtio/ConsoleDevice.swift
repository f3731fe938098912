internal import LinuxKernel

/// A console: bytes in both directions. Corresponds to virtio-console with one port.
///
/// Neither side can make the other hold more than a little: what the guest writes faster than the
/// limit is dropped and counted, so that it never waits; what the host sends waits in a bounded
/// buffer, and the host keeps what does not fit.
///
/// Its members are used with the device's lock held: ``VirtioTransport/withDevice(_:)``.
public final class ConsoleDevice: VirtioDevice, @unchecked Sendable {
    public struct Counters: Hashable, Sendable {
        public fileprivate(set) var outputBytes: UInt64 = 0
        public fileprivate(set) var droppedBytes: UInt64 = 0
        public fileprivate(set) var inputBytes: UInt64 = 0
    }

    /// So much of what the host sends waits for the driver.
    public static let mostInput = 65536
    /// The output is copied in pieces of this size.
    private static let pieceBytes = 4096

    private enum Queue {
        static let input = 0
        static let output = 1
    }

    public let kind = VirtioKind.console
    /// `VIRTIO_CONSOLE_F_SIZE`
    public let features: UInt64 = 1
    public let queueSizes: [UInt16] = [64, 64]
    /// `cols` and `rows` of `struct virtio_console_config`.
    public var configuration: [UInt8] { columns.littleEndianBytes + rows.littleEndianBytes }

    public private(set) var counters = Counters()
    /// Called when the driver took input, so that there is room again, with the device's lock held.
    public var whenInputTaken: (@Sendable () -> Void)?

    private let output: @Sendable ([UInt8]) -> Int
    private var bucket: TokenBucket
    private var columns: UInt16 = 80
    private var rows: UInt16 = 25
    private var link: DeviceLink?
    private var chain = DescriptorChain()
    /// What the host sent and the driver has not taken.
    private var input: [UInt8] = []

    /// - Parameters:
    ///   - limit: of output bytes. It bounds the work for each request too.
    ///   - output: takes bytes with the device's lock held, does not wait, and gives how many it
    ///     took. What it leaves is dropped.
    public init(limit: TokenBucket.Limit, output: @escaping @Sendable ([UInt8]) -> Int) {
        self.output = output
        bucket = TokenBucket(limit, at: MonotonicClock.nanoseconds)
    }

    /// Sends bytes to the guest. Gives how many were taken: the rest is to be sent again when
    /// ``whenInputTaken`` was called.
    public func send(_ bytes: [UInt8]) throws(DeviceFault) -> Int {
        let count = min(bytes.count, Self.mostInput - input.count)
        input += bytes.prefix(count)
        if let link { try deliver(link) }
        return count
    }

    public func setSize(columns: UInt16, rows: UInt16) {
        guard columns != self.columns || rows != self.rows else { return }
        self.columns = columns
        self.rows = rows
        link?.configurationChanged()
    }

    // MARK: - Its life

    public func start(_ link: DeviceLink) {
        self.link = link
    }

    public func stop() {
        link = nil
        input = []
    }

    public func save(into writer: inout StateWriter) {
        writer.put(columns)
        writer.put(rows)
        writer.put(input)
    }

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        columns = try reader.number()
        rows = try reader.number()
        input = try reader.piece(atMost: Self.mostInput)
        try begin(link)
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        guard let link else { return }
        switch queue {
        case Queue.input: try deliver(link)
        case Queue.output:
            try link.drain(queue, into: &chain) { (chain) throws(DeviceFault) in
                try take(chain, link)
                return 0
            }
        default: break
        }
    }

    private func take(_ chain: DescriptorChain, _ link: DeviceLink) throws(DeviceFault) {
        let count = chain.readableCount
        let now = MonotonicClock.nanoseconds
        var done = 0
        var taken = 0
        while done < count {
            let size = min(count - done, Self.pieceBytes)
            guard bucket.take(UInt64(size), at: now) else { break }
            let bytes = try chain.read(size, skipping: done, from: link.memory)
            taken += min(max(0, output(bytes)), size)
            done += size
        }
        counters.outputBytes &+= UInt64(taken)
        counters.droppedBytes &+= UInt64(count - taken)
    }

    private func deliver(_ link: DeviceLink) throws(DeviceFault) {
        guard var budget = link.queues[Queue.input]?.layout.size else { return }
        var done = 0
        while done < input.count, budget > 0, try link.take(from: Queue.input, into: &chain) {
            let piece = Array(input[done...].prefix(chain.writableCount))
            let count = try chain.write(piece, to: link.memory)
            try link.giveBack(chain.head, to: Queue.input, written: count)
            done += count
            budget -= 1
        }
        if budget == 0, done < input.count { link.notifyLater(Queue.input) }
        input.removeFirst(done)
        counters.inputBytes &+= UInt64(done)
        try link.interruptIfWanted(Queue.input)
        if done > 0 { whenInputTaken?() }
    }
}

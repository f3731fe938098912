internal import LinuxKernel
internal import RPC

/// Writes to a standard stream without waiting for its reader, so that signals and the other
/// streams go on. Belongs to the loop's thread.
final class OutputPump {
    /// From here on whoever brings the bytes should stop.
    private static let highWater = 256 * 1024

    private let loop: EventLoop
    private let stream: UnhurriedStream
    private var pending: [[UInt8]] = []
    private var count = 0
    private var watch: Watch?
    /// The reader is gone: what comes is dropped.
    private(set) var isBroken = false
    var onBroken: (() -> Void)?
    /// There is room again, after `isFull` was true.
    var onRoom: (() -> Void)?
    private var wantsRoom = false

    init(_ stream: StandardStream, on loop: EventLoop) {
        self.loop = loop
        self.stream = UnhurriedStream(stream)
    }

    var isEmpty: Bool { pending.isEmpty }

    var isFull: Bool {
        guard count >= Self.highWater else { return false }
        wantsRoom = true
        return true
    }

    func write(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, !isBroken else { return }
        pending.append(bytes)
        count += bytes.count
        if watch == nil { flush() }
    }

    private func flush() {
        var place = 0
        while place < pending.count, !isBroken {
            switch stream.write(pending[place]) {
            case .bytes(let done) where done == pending[place].count: place += 1
            case .bytes(let done): pending[place].removeFirst(done)
            case .wouldBlock:
                finish(place)
                return wait()
            case .failed: fail()
            }
        }
        finish(place)
        watch?.cancel()
        watch = nil
    }

    private func finish(_ done: Int) {
        pending.removeFirst(min(done, pending.count))
        count = pending.reduce(0) { $0 + $1.count }
        guard wantsRoom, count < Self.highWater / 4 else { return }
        wantsRoom = false
        onRoom?()
    }

    private func wait() {
        guard watch == nil else { return }
        watch = try? loop.watch(stream.number, for: .writable) { [weak self] _ in self?.flush() }
        if watch == nil { fail() }
    }

    private func fail() {
        isBroken = true
        pending = []
        count = 0
        onBroken?()
    }
}

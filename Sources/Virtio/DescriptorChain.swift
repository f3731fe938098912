public import GuestMemory

/// A request of a driver: memory to read, then memory to write. Every part of it is in the guest's
/// memory: that was checked when it was taken from its queue.
///
/// One is used again and again, so that taking a request makes no new one.
public struct DescriptorChain: Sendable {
    /// What the queue gets back.
    public internal(set) var head: UInt16 = 0
    public internal(set) var readable: [GuestRange] = []
    public internal(set) var writable: [GuestRange] = []

    public init() {}

    public var readableCount: Int { readable.reduce(0) { $0 + $1.count } }
    public var writableCount: Int { writable.reduce(0) { $0 + $1.count } }

    mutating func clear(_ head: UInt16) {
        self.head = head
        readable.removeAll(keepingCapacity: true)
        writable.removeAll(keepingCapacity: true)
    }

    /// Copies at most `count` bytes out of what is to be read, after the first `skip`.
    public func read(
        _ count: Int, skipping skip: Int = 0, from memory: GuestMemory
    ) throws(DeviceFault) -> [UInt8] {
        let parts = Self.part(of: readable, skipping: skip, count: count)
        var copy = [UInt8](repeating: 0, count: parts.reduce(0) { $0 + $1.count })
        var done = 0
        for part in parts {
            do throws(GuestMemoryError) {
                try memory.read(part, into: &copy, at: done)
            } catch {
                throw .outsideMemory(error)
            }
            done += part.count
        }
        return copy
    }

    /// Copies bytes into what is to be written, after the first `skip`. Gives how many fitted.
    @discardableResult
    public func write(
        _ bytes: [UInt8], skipping skip: Int = 0, to memory: GuestMemory
    ) throws(DeviceFault) -> Int {
        var done = 0
        for part in Self.part(of: writable, skipping: skip, count: bytes.count) {
            do throws(GuestMemoryError) {
                try memory.write(bytes, done..<done + part.count, to: part.start)
            } catch {
                throw .outsideMemory(error)
            }
            done += part.count
        }
        return done
    }

    /// The ranges of a part of these, at most `count` bytes.
    public static func part(
        of ranges: [GuestRange], skipping skip: Int, count: Int
    ) -> [GuestRange] {
        var result: [GuestRange] = []
        var skip = skip
        var left = count
        for range in ranges where left > 0 {
            if skip >= range.count {
                skip -= range.count
                continue
            }
            let piece = range.dropFirst(skip).prefix(left)
            skip = 0
            left -= piece.count
            result.append(piece)
        }
        return result
    }
}

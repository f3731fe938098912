/// The events that the agent keeps, the newest of them in memory, and who waits for the next one.
///
/// A watcher has a place of its own in the numbers and takes what it has room for, so a slow one
/// costs nothing.
final class EventHistory {
    struct Kept {
        let number: UInt64
        /// Empty for events of the node.
        let sandboxID: String
        /// An encoded `alcove.v1.Event`.
        let bytes: [UInt8]
    }

    /// How many of the newest are in memory, and how many bytes of them.
    static let recentLimit = 1024
    static let recentBytesLimit = 4 << 20

    private let older: (_ from: UInt64, _ limit: Int) -> [Kept]
    /// Numbers follow each other without a gap.
    private var recent: [Kept] = []
    private var recentBytes = 0
    private var watchers: [UInt64: () -> Void] = [:]
    private var lastWatcher: UInt64 = 0
    /// Told when one comes or goes.
    var onWatchersChange: () -> Void = {}
    var watcherCount: Int { watchers.count }
    /// The number of the newest event, 0 before the first.
    private(set) var last: UInt64
    /// The number of the oldest event that is kept; one more than the last when none is.
    private(set) var oldest: UInt64

    /// - Parameter older: reads events that are no longer in memory, in order, from a number on.
    init(oldest: UInt64, last: UInt64, older: @escaping (UInt64, Int) -> [Kept]) {
        self.oldest = oldest
        self.last = last
        self.older = older
    }

    /// Takes events that have been written down.
    func publish(_ events: [Kept]) {
        guard let newest = events.last else { return }
        recent += events
        recentBytes += events.reduce(0) { $0 + $1.bytes.count }
        last = newest.number
        shrink()
        for wake in watchers.values { wake() }
    }

    private func shrink() {
        // Not for each event: taking from an array's front moves the rest.
        guard recent.count > 2 * Self.recentLimit || recentBytes > 2 * Self.recentBytesLimit else {
            return
        }
        var count = max(0, recent.count - Self.recentLimit)
        recentBytes -= recent[..<count].reduce(0) { $0 + $1.bytes.count }
        while recentBytes > Self.recentBytesLimit, count < recent.count {
            recentBytes -= recent[count].bytes.count
            count += 1
        }
        recent.removeFirst(count)
    }

    /// Events before this one are no longer kept.
    func trimmed(to number: UInt64) {
        oldest = max(oldest, number)
    }

    /// Events from a number on, at most so many; nil when that number is no longer kept.
    func events(from number: UInt64, limit: Int) -> ArraySlice<Kept>? {
        guard number >= oldest else { return nil }
        guard number <= last else { return [] }
        if let first = recent.first?.number, number >= first {
            return recent[Int(number - first)...].prefix(limit)
        }
        return older(number, limit)[...]
    }

    /// Calls an action after each publication, until ``removeWatcher(_:)``.
    func addWatcher(_ wake: @escaping () -> Void) -> UInt64 {
        lastWatcher += 1
        watchers[lastWatcher] = wake
        onWatchersChange()
        return lastWatcher
    }

    func removeWatcher(_ token: UInt64) {
        watchers[token] = nil
        onWatchersChange()
    }
}

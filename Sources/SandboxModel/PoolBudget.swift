/// Divides what a node's memory holds ready among its functions.
///
/// Whoever asks for little gets it; what is left is divided evenly, by memory, among those that ask
/// for more. So a function in a burst takes nothing from one that is content with its share.
public enum PoolBudget {
    public struct Request: Hashable, Sendable {
        /// How many should be ready, and what each takes.
        public let count: Int
        public let memoryMiB: Int

        public init(count: Int, memoryMiB: Int) {
            precondition(count >= 0 && memoryMiB > 0, "an instance takes memory")
            self.count = count
            self.memoryMiB = memoryMiB
        }
    }

    /// How many each may have ready, in the order of the requests.
    public static func shares(of requests: [Request], memoryMiB: Int) -> [Int] {
        var shares = Array(repeating: 0, count: requests.count)
        var left = max(memoryMiB, 0)
        func need(_ place: Int) -> Int {
            let (product, isTooMuch) = requests[place].count.multipliedReportingOverflow(
                by: requests[place].memoryMiB)
            return isTooMuch ? Int.max : product
        }
        let order = requests.indices.sorted { (need($0), $0) < (need($1), $1) }
        for (done, place) in order.enumerated() {
            let even = left / (order.count - done)
            shares[place] = min(requests[place].count, even / requests[place].memoryMiB)
            left -= shares[place] * requests[place].memoryMiB
        }
        return shares
    }
}

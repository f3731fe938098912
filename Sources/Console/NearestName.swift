/// Finds what was meant by a mistyped name.
public enum NearestName {
    /// The candidate nearest to `typed`, or nil when none is near: one error in three letters,
    /// at most three in all. What `typed` begins counts as near (`mem` for `memory`). The first of
    /// equally near candidates wins.
    public static func find(_ typed: String, among candidates: [String]) -> String? {
        let name = Array(typed.utf8.prefix(65))
        guard !name.isEmpty, name.count <= 64 else { return nil }
        let allowed = min(3, max(1, name.count / 3))
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(name, Array(candidate.utf8))
            // A name of two letters is near to nearly everything: one must be right.
            guard distance <= allowed, distance < max(name.count, candidate.utf8.count) else {
                continue
            }
            if distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        if let best { return best.name }
        return name.count >= 2 ? candidates.first { $0.hasPrefix(typed) } : nil
    }

    /// The least number of insertions, deletions, substitutions and swaps of neighbours that make
    /// `left` of `right` (Damerau and Levenshtein, no part edited twice).
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in 1...left.count {
            var current = [row]
            current.reserveCapacity(right.count + 1)
            for column in 1...right.count {
                let isSame = left[row - 1] == right[column - 1]
                var cost = min(
                    last[column] + 1, current[column - 1] + 1, last[column - 1] + (isSame ? 0 : 1))
                if row > 1, column > 1, left[row - 1] == right[column - 2],
                    left[row - 2] == right[column - 1]
                {
                    cost = min(cost, beforeLast[column - 2] + 1)
                }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}

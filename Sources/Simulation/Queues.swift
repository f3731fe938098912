/// Times, of which the least is taken first.
struct TimeHeap {
    private var times: [Int] = []

    var count: Int { times.count }
    var first: Int? { times.first }

    mutating func add(_ time: Int) {
        times.append(time)
        var place = times.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            if times[parent] <= time { break }
            times[place] = times[parent]
            place = parent
        }
        times[place] = time
    }

    mutating func takeFirst() -> Int? {
        guard let first = times.first, let last = times.popLast() else { return nil }
        guard !times.isEmpty else { return first }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < times.count else { break }
            if child + 1 < times.count, times[child + 1] < times[child] { child += 1 }
            if times[child] >= last { break }
            times[place] = times[child]
            place = child
        }
        times[place] = last
        return first
    }
}

/// Times that are added in their order.
struct TimeQueue {
    private var times: [Int] = []
    private var head = 0

    var count: Int { times.count - head }
    var first: Int? { head < times.count ? times[head] : nil }

    mutating func add(_ time: Int) { times.append(time) }

    mutating func removeFirst() {
        head += 1
        if head * 2 > times.count {
            times.removeFirst(head)
            head = 0
        }
    }
}

/// Times that are added in their order, and taken from either end.
struct AgeStack {
    private var times: [Int] = []
    private var head = 0

    var count: Int { times.count - head }
    var oldest: Int? { head < times.count ? times[head] : nil }

    mutating func push(_ time: Int) { times.append(time) }

    mutating func removeNewest() {
        if count > 0 { times.removeLast() }
    }

    mutating func removeOldest() {
        head += 1
        if head * 2 > times.count {
            times.removeFirst(head)
            head = 0
        }
    }
}

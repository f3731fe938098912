/// An action at a point of time, which can be called off until then.
public final class ScheduledAction {
    let deadline: UInt64
    fileprivate(set) var action: (() -> Void)?
    fileprivate var position: Int?

    init(deadline: UInt64, action: @escaping () -> Void) {
        self.deadline = deadline
        self.action = action
    }
}

/// Actions by their time: a binary heap in which each knows its place, so that one that is called
/// off leaves at once.
struct TimerQueue {
    private var heap: [ScheduledAction] = []

    var earliest: UInt64? { heap.first?.deadline }
    var count: Int { heap.count }

    mutating func insert(_ action: ScheduledAction) {
        action.position = heap.count
        heap.append(action)
        moveUp(heap.count - 1)
    }

    mutating func remove(_ action: ScheduledAction) {
        action.action = nil
        guard let position = action.position else { return }
        action.position = nil
        let last = heap.removeLast()
        guard position < heap.count else { return }
        place(last, at: position)
        moveUp(position)
        moveDown(last.position ?? position)
    }

    /// Calls all off. Calling one off once more is no error.
    mutating func removeAll() {
        for action in heap {
            action.action = nil
            action.position = nil
        }
        heap = []
    }

    /// Takes the first whose time has come.
    mutating func takeDue(at now: UInt64) -> (() -> Void)? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let action = first.action
        remove(first)
        return action
    }

    private mutating func place(_ action: ScheduledAction, at position: Int) {
        heap[position] = action
        action.position = position
    }

    private mutating func moveUp(_ start: Int) {
        var position = start
        let action = heap[position]
        while position > 0 {
            let parent = (position - 1) / 2
            guard heap[parent].deadline > action.deadline else { break }
            place(heap[parent], at: position)
            position = parent
        }
        place(action, at: position)
    }

    private mutating func moveDown(_ start: Int) {
        var position = start
        let action = heap[position]
        while true {
            var child = position * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline {
                child += 1
            }
            guard heap[child].deadline < action.deadline else { break }
            place(heap[child], at: position)
            position = child
        }
        place(action, at: position)
    }
}

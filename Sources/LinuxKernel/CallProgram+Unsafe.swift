internal import CLinux

/// A numbered place that holds a descriptor while a program runs: given by the host before it
/// starts, or the result of an earlier call.
public struct Slot: Hashable, Sendable {
    let index: Int16
}

/// A point of time that a program writes down while it runs.
public struct Mark: Hashable, Sendable {
    let index: UInt8
}

/// An argument of a prepared system call.
enum CallArgument {
    case literal(UInt64)
    case text(String)
    case texts([String])
    case bytes([UInt8])
    case slot(Slot)

    static func number(_ value: Int32) -> CallArgument { .literal(UInt64(argument: value)) }
}

/// System calls laid out ahead of time, for a child to perform between `clone3` and `exec`.
///
/// Immutable once built, so that one program serves any number of runs, at the same time too: what
/// differs between runs stands in the slots of a ``CallRun``.
@safe public final class CallProgram: @unchecked Sendable {
    // SAFETY: everything that the calls point to; allocated and freed by this object alone.
    private var texts: [UnsafeMutableRawPointer] = unsafe []
    private var calls: [alcove_call] = []
    private var frozen: UnsafeMutablePointer<alcove_call>?
    private(set) var names: [StaticString] = []
    private var slotCount: Int16 = 0
    private var markCount: UInt8 = 0
    /// The step of the plan that the next calls belong to.
    private var step: UInt16 = 0

    /// Lets `build` lay out the calls.
    public init(_ build: (CallProgram) -> Void) {
        calls.reserveCapacity(160)
        names.reserveCapacity(160)
        build(self)
        // SAFETY: allocated here, initialised whole, and freed by deinit alone.
        let frozen = UnsafeMutablePointer<alcove_call>.allocate(capacity: calls.count)
        // SAFETY: as above; the source holds as many elements as were allocated.
        unsafe frozen.initialize(from: calls, count: calls.count)
        // SAFETY: as above.
        unsafe self.frozen = frozen
    }

    deinit {
        // SAFETY: a run keeps its program alive, so nobody reads these any more.
        unsafe texts.forEach { unsafe $0.deallocate() }
        // SAFETY: as above.
        unsafe frozen?.deallocate()
    }

    /// How many calls the child makes: marks are not calls.
    public var callCount: Int {
        calls.count { $0.number != UInt16(ALCOVE_CALL_MARK) }
    }

    /// The step and the name of a call, by its index in a report.
    public func call(at index: Int) -> (step: Int, name: String)? {
        guard calls.indices.contains(index) else { return nil }
        return (Int(calls[index].step), "\(names[index])")
    }

    /// Every call in order, as the step it belongs to and its name.
    public var listing: [(step: Int, name: String)] {
        calls.indices.compactMap {
            calls[$0].number == UInt16(ALCOVE_CALL_MARK) ? nil : call(at: $0)
        }
    }

    // MARK: Building

    /// What is appended from here on belongs to this step.
    public func begin(step: Int) {
        self.step = UInt16(step)
    }

    public func makeSlot() -> Slot {
        precondition(slotCount < ALCOVE_SLOTS, "a program has at most \(ALCOVE_SLOTS) slots")
        slotCount += 1
        return Slot(index: slotCount - 1)
    }

    /// Writes down the time when the child comes by.
    public func mark() -> Mark {
        precondition(markCount < ALCOVE_MARKS, "a program has at most \(ALCOVE_MARKS) marks")
        markCount += 1
        append(UInt32(ALCOVE_CALL_MARK), "mark", [.literal(UInt64(markCount - 1))])
        return Mark(index: markCount - 1)
    }

    /// Fails here, as a call would that gives this error.
    public func fail(with error: ErrorNumber) {
        append(UInt32(ALCOVE_CALL_FAIL), "injected failure", [.number(error.rawValue)])
    }

    func append(
        _ number: UInt32, _ name: StaticString, _ arguments: [CallArgument],
        result: Slot? = nil, tolerating tolerated: ErrorNumber? = nil
    ) {
        append(
            Int32(bitPattern: number), name, arguments, result: result, tolerating: tolerated)
    }

    func append(
        _ number: Int32, _ name: StaticString, _ arguments: [CallArgument],
        result: Slot? = nil, tolerating tolerated: ErrorNumber? = nil
    ) {
        var values: [UInt64] = [0, 0, 0, 0, 0, 0]
        var modes: UInt16 = 0
        for (index, argument) in arguments.enumerated() {
            let (value, mode) = lower(argument)
            values[index] = value
            modes |= UInt16(mode) << UInt16(2 * index)
        }
        calls.append(
            alcove_call(
                number: UInt16(number), step: step, modes: modes,
                result_slot: result?.index ?? -1, tolerated: tolerated?.rawValue ?? 0, reserved: 0,
                arguments: (values[0], values[1], values[2], values[3], values[4], values[5])))
        names.append(name)
    }

    private func lower(_ argument: CallArgument) -> (value: UInt64, mode: UInt32) {
        switch argument {
        case .literal(let value): return (value, UInt32(ALCOVE_ARGUMENT_LITERAL))
        case .text(let text): return (address(of: text), UInt32(ALCOVE_ARGUMENT_LITERAL))
        case .texts(let texts):
            let pointers = texts.map { address(of: $0) } + [0]
            return (address(of: pointers), UInt32(ALCOVE_ARGUMENT_LITERAL))
        case .bytes(let bytes): return (address(of: bytes), UInt32(ALCOVE_ARGUMENT_LITERAL))
        case .slot(let slot): return (UInt64(slot.index), UInt32(ALCOVE_ARGUMENT_SLOT))
        }
    }

    /// The address of a copy of the text, ended by a zero byte.
    func address(of text: String) -> UInt64 {
        var bytes = Array(text.utf8)
        bytes.append(0)
        return address(of: bytes)
    }

    /// The address of a copy of the elements, which lives as long as the program.
    func address<Element: BitwiseCopyable>(of elements: [Element]) -> UInt64 {
        let size = elements.count * MemoryLayout<Element>.stride
        // SAFETY: allocated here with room for all elements, kept until deinit.
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(size, 1), alignment: 16)
        // SAFETY: both sides hold `size` bytes, and the elements hold no references.
        unsafe elements.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe copy.copyMemory(from: start, byteCount: size)
        }
        // SAFETY: as above.
        unsafe texts.append(copy)
        return UInt64(UInt(bitPattern: copy))
    }

    // MARK: Running

    /// The calls, for a run that keeps this program alive.
    fileprivate var address: UnsafePointer<alcove_call>? {
        // SAFETY: set once by init; nobody writes through it after that.
        unsafe frozen.map { unsafe UnsafePointer($0) }
    }

    fileprivate var count: Int { calls.count }
}

/// What one run of a program reads and writes: slots, marks, and the child's stack.
///
/// The child uses this memory until it executes another program, so the owner keeps the run
/// until the child has reported or is reaped. A run can be used again after that.
@safe public final class CallRun {
    /// How the child has this process's memory until it executes.
    ///
    /// When the kernel ends a process because the memory limit of its cgroup is used up, it ends
    /// every other process that shares the memory with it, wherever that one is: a child with a
    /// limit must not take this process along.
    public enum Sharing: Sendable {
        /// Both use it at the same time.
        case atOnce
        /// The thread that starts the child waits for it to execute. Such a child is not ended
        /// for memory: its calls fail. Corresponds to `CLONE_VFORK`.
        case inTurn
        /// The child has a copy, which takes longer the more there is to copy.
        case copied
    }

    private let memory: UnsafeMutablePointer<alcove_run>
    private let program: CallProgram
    private let sharing: Sharing

    public init(of program: CallProgram, sharing: Sharing) throws(SystemCallError) {
        self.program = program
        self.sharing = sharing
        // SAFETY: made here, freed by deinit alone.
        let memory = try unsafe Self.makeMemory(sharing)
        // SAFETY: all fields are plain numbers and pointers, for which zero is a value.
        unsafe memory.initialize(to: alcove_run())
        // SAFETY: the program outlives the run, which holds it.
        unsafe memory.pointee.calls = program.address
        // SAFETY: as above.
        unsafe memory.pointee.call_count = UInt64(program.count)
        // SAFETY: freed by deinit alone; a stack needs no initial value.
        unsafe memory.pointee.stack = UnsafeMutableRawPointer.allocate(
            byteCount: Int(ALCOVE_CHILD_STACK), alignment: 64)
        // SAFETY: as above.
        unsafe self.memory = memory
    }

    deinit {
        // SAFETY: the owner keeps a run until its child is gone.
        unsafe memory.pointee.stack.deallocate()
        if sharing == .copied {
            // SAFETY: as above.
            let address = unsafe UInt(bitPattern: memory)
            _ = systemCall(__NR_munmap, UInt64(address), Self.memorySize)
        } else {
            // SAFETY: as above.
            unsafe memory.deallocate()
        }
    }

    // SAFETY: only its size is looked at.
    private static let memorySize = UInt64(unsafe MemoryLayout<alcove_run>.size)

    /// What the child writes must be seen here, a copy of all else or not.
    private static func makeMemory(
        _ sharing: Sharing
    ) throws(SystemCallError) -> UnsafeMutablePointer<alcove_run> {
        guard sharing == .copied else {
            return UnsafeMutablePointer.allocate(capacity: 1)
        }
        // PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS
        let address = try checked(
            systemCall(__NR_mmap, 0, memorySize, 3, 0x21, UInt64(argument: -1)), "mmap")
        // SAFETY: the kernel gave these bytes, aligned to a page; the caller owns them.
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: Int(address)) else {
            preconditionFailure("the kernel maps nothing at 0 that was not asked for there")
        }
        // SAFETY: as above.
        return unsafe start.bindMemory(to: alcove_run.self, capacity: 1)
    }

    /// Gives a descriptor to the program. It stays the caller's.
    public func set(_ slot: Slot, to descriptor: Int32) {
        // SAFETY: a slot's index was bounded when it was made.
        unsafe withUnsafeMutableBytes(of: &memory.pointee.slots) {
            // SAFETY: as above.
            unsafe $0.storeBytes(
                of: descriptor, toByteOffset: Int(slot.index) * 4, as: Int32.self)
        }
    }

    /// What the program left in a slot.
    public func value(of slot: Slot) -> Int32 {
        // SAFETY: a slot's index was bounded when it was made.
        unsafe withUnsafeBytes(of: &memory.pointee.slots) {
            unsafe $0.load(fromByteOffset: Int(slot.index) * 4, as: Int32.self)
        }
    }

    /// When the child came by a mark, by the monotonic clock; 0 when it has not.
    public func nanoseconds(of mark: Mark) -> UInt64 {
        // SAFETY: a mark's index was bounded when it was made.
        unsafe withUnsafeBytes(of: &memory.pointee.marks) {
            unsafe $0.load(fromByteOffset: Int(mark.index) * 8, as: UInt64.self)
        }
    }

    /// Starts a child in new namespaces, and in a cgroup, to perform the program.
    ///
    /// - Parameters:
    ///   - report: where a failure is written.
    ///   - file: where it is written as well, or -1.
    public func start(
        namespaces: Namespaces, cgroup: Int32, report: Int32, file: Int32 = -1
    ) throws(SystemCallError) -> ChildProcess {
        // SAFETY: this object owns the memory, and the caller keeps the object until the child
        // is done with it.
        unsafe memory.pointee.report_descriptor = report
        // SAFETY: as above.
        unsafe memory.pointee.report_file = file
        // SAFETY: as above.
        unsafe memory.pointee.marks = alcove_run().marks
        var pidfd: Int32 = -1
        var flags = namespaces.rawValue
        switch sharing {
        case .atOnce: flags |= UInt64(CLONE_VM)
        case .inTurn: flags |= UInt64(CLONE_VM) | UInt64(CLONE_VFORK)
        case .copied: break
        }
        // SAFETY: as above; `pidfd` is written before the call gives back.
        let pid = try checked(
            unsafe alcove_run_start(memory, flags, cgroup, &pidfd), "clone3")
        return ChildProcess(pid: Int32(pid), pidfd: Descriptor(owning: pidfd))
    }
}

internal import CLinux

/// A value that one thread at a time reaches. Made of a pthread mutex: the thread sanitizer knows
/// it, and it costs no module at start-up.
@safe public final class Locked<Value>: @unchecked Sendable {
    private let lock: OpaquePointer
    private var value: Value

    public init(_ value: Value) {
        // SAFETY: the lock is on the heap, made here and freed by deinit alone.
        guard let lock = unsafe alcove_lock_make() else { fatalError("out of memory for a lock") }
        // SAFETY: as above.
        unsafe self.lock = lock
        self.value = value
    }

    deinit {
        // SAFETY: nobody holds it: whoever would, keeps this object alive.
        unsafe alcove_lock_free(lock)
    }

    /// Calls `body` with the value while no other thread does.
    public func with<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // SAFETY: the lock lives as long as this object.
        unsafe alcove_lock_take(lock)
        // SAFETY: as above; taken one line above.
        defer { unsafe alcove_lock_leave(lock) }
        return try body(&value)
    }

    /// Calls `body` again after each signal, until it gives something.
    public func wait<Result>(until body: (inout Value) -> Result?) -> Result {
        // SAFETY: the lock lives as long as this object.
        unsafe alcove_lock_take(lock)
        // SAFETY: as above; taken one line above.
        defer { unsafe alcove_lock_leave(lock) }
        while true {
            if let result = body(&value) { return result }
            // SAFETY: as above.
            unsafe alcove_lock_wait(lock)
        }
    }

    /// Wakes one thread that waits.
    public func signal() {
        // SAFETY: the lock lives as long as this object.
        unsafe alcove_lock_signal(lock)
    }

    /// Wakes every thread that waits.
    public func signalAll() {
        // SAFETY: the lock lives as long as this object.
        unsafe alcove_lock_signal_all(lock)
    }
}

/// A thread of its own, for what must not share one.
public struct KernelThread: ~Copyable, Sendable {
    private let handle: UInt64

    /// Starts a thread which blocks every signal. The name is cut to 15 bytes.
    ///
    /// Write `body` in a nonisolated function: a closure of a program's main file belongs to the
    /// main actor and traps on another thread.
    public init(named name: String, _ body: @escaping @Sendable () -> Void) throws(SystemCallError)
    {
        let box = ThreadBody(body)
        var handle: UInt64 = 0
        // SAFETY: the reference that is retained here is taken over by the thread's entry, or
        // released below when there is no thread.
        let reference = unsafe Unmanaged.passRetained(box)
        // SAFETY: as above; the handle is written before the call gives back.
        let result = unsafe alcove_thread_start(
            { argument in
                guard let argument = unsafe argument else { return }
                unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body()
            }, reference.toOpaque(), name, &handle)
        // SAFETY: there is no thread that would release it.
        if result < 0 { unsafe reference.release() }
        try checked(result, "pthread_create", name)
        self.handle = handle
    }

    /// One that nobody joins ends by itself.
    deinit {
        alcove_thread_detach(handle)
    }

    /// Sets how large the stacks of threads are that are started from now on.
    public static func setStacks(to bytes: UInt64) throws(SystemCallError) {
        try checked(alcove_thread_stack(bytes), "pthread_setattr_default_np")
    }

    /// Waits for its end.
    public consuming func join() {
        alcove_thread_join(handle)
        discard self
    }

    /// Lets every thread allocate from the same heap: for the start of a program with few threads.
    /// Heaps of their own would cost memory for each, and glibc opens a file when one shrinks.
    public static func shareOneHeap() { alcove_use_one_heap() }

    /// A number that no other running thread of this process has.
    public static var currentIdentity: UInt64 { alcove_thread_identity() }

    /// The kernel's number of the calling thread.
    public static var currentNumber: Int32 {
        Int32(truncatingIfNeeded: systemCall(__NR_gettid))
    }

    /// Sends a signal to a thread of this process. One that has ended is no error.
    public static func send(_ signal: Signal, to thread: Int32) {
        _ = systemCall(
            __NR_tgkill, UInt64(argument: ThisProcess.identifier), UInt64(argument: thread),
            UInt64(argument: signal.rawValue))
    }

    /// Takes a signal that this thread blocks, and that came. False when none did.
    public static func takePending(_ signal: Signal) -> Bool {
        var set = UInt64(1) << UInt64(signal.rawValue - 1)
        var none = (Int64(0), Int64(0))
        let result = withAddress(of: &set) { set in
            withAddress(of: &none) { none in
                systemCall(__NR_rt_sigtimedwait, set, 0, none, 8)
            }
        }
        return result > 0
    }
}

private final class ThreadBody: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }
}

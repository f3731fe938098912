import LinuxKernel

/// A thread that a test waits for.
final class JoinedThread {
    private var thread: KernelThread?

    init(_ body: @escaping @Sendable () -> Void) throws {
        thread = try KernelThread(named: "test", body)
    }

    func join() { thread.take()?.join() }
}

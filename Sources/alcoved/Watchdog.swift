internal import AgentOperations
internal import LinuxKernel

/// Tells the service manager that the loop turns, twice in the time that it waits for that.
final class Watchdog {
    private let manager: ServiceManager
    private let loop: EventLoop

    init(_ manager: ServiceManager, on loop: EventLoop) {
        self.manager = manager
        self.loop = loop
    }

    func begin() {
        guard let interval = manager.watchdogInterval else { return }
        tell(every: interval / 2)
    }

    private func tell(every span: Duration) {
        // One that cannot be told now is told the next time.
        _ = try? manager.tell(.watchdog)
        _ = loop.schedule(after: span) { self.tell(every: span) }
    }
}

internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// Tells those who follow logs that a sandbox has written: one inotify for all of them.
final class LogHub {
    final class Subscription {
        var onChange: (() -> Void)?
        private let hub: LogHub
        private let token: LogWatcher.Token

        fileprivate init(_ hub: LogHub, _ token: LogWatcher.Token) {
            self.hub = hub
            self.token = token
        }

        func cancel() {
            onChange = nil
            hub.remove(self, token)
        }
    }

    private let loop: EventLoop
    private var watcher: LogWatcher?
    private var watch: Watch?
    private var subscriptions: [LogWatcher.Token: [Subscription]] = [:]

    init(loop: EventLoop) {
        self.loop = loop
    }

    func subscribe(to folder: SandboxFolder) throws(SandboxError) -> Subscription {
        let token = try opened().watch(folder)
        let subscription = Subscription(self, token)
        subscriptions[token, default: []].append(subscription)
        return subscription
    }

    private func opened() throws(SandboxError) -> LogWatcher {
        if let watcher { return watcher }
        let watcher = try LogWatcher()
        do throws(SystemCallError) {
            watch = try loop.watch(watcher.descriptor, for: .readable) { [weak self] _ in
                self?.tell()
            }
        } catch {
            throw SandboxError(.setUpFailed, "follow logs: \(error)")
        }
        self.watcher = watcher
        return watcher
    }

    private func tell() {
        for token in watcher?.takeChanged() ?? [] {
            for subscription in subscriptions[token] ?? [] { subscription.onChange?() }
        }
    }

    private func remove(_ subscription: Subscription, _ token: LogWatcher.Token) {
        subscriptions[token]?.removeAll { $0 === subscription }
        guard subscriptions[token]?.isEmpty == true else { return }
        subscriptions[token] = nil
        watcher?.unwatch(token)
    }
}

/// Takes a value that one thread uses at a time from one to the other.
final class UncheckedBox<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}

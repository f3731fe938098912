public import LinuxKernel

/// Where a device raises its interrupt.
public protocol InterruptLine: AnyObject, Sendable {
    func raise()
}

/// A counter that several hold.
public final class SharedCounter: InterruptLine, Sendable {
    private let counter: EventCounter

    public init() throws(SystemCallError) {
        counter = try EventCounter()
    }

    public var descriptor: Int32 { counter.descriptor.rawValue }
    public func raise() { counter.signal() }
    public func clear() { counter.clear() }
}

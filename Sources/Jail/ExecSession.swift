public import LinuxKernel
public import SandboxModel

/// A further command in a running sandbox.
public struct ExecRequest: Sendable {
    /// The program and its arguments; the program is looked up inside, along the `PATH` of
    /// ``environment``.
    public var command: [String]
    /// All of it: nothing is inherited.
    public var environment: [String]
    public var workingDirectory: String
    /// With a size the command has a terminal.
    public var terminal: Terminal.Size?

    public init(command: [String], environment: [String], workingDirectory: String = "/") {
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
    }
}

/// A command that runs by ``LastingSandbox/execute(_:)``. Dropping it kills the command.
public final class ExecSession {
    public enum Event: Equatable, Sendable {
        /// It runs; its pid as the host sees it.
        case started(pid: Int32)
        /// It never will. Nothing comes after this.
        case failed(SandboxError)
        /// Nothing comes after this. What it wrote may still have to be read.
        case ended(SandboxOutcome.Exit)
    }

    public enum Reading: Equatable, Sendable {
        case bytes([UInt8])
        case wouldBlock
        case end
    }

    init() throws(SandboxError) { throw SandboxError(.unavailable, "not yet") }

    /// Readable when there is an event to take.
    public var controlDescriptor: Int32 { -1 }
    /// Writable when ``write(_:)`` takes something; nothing after ``closeInput()``. With a terminal
    /// the three are one descriptor, which is there from ``Event/started(pid:)`` on.
    public var inputDescriptor: Int32? { nil }
    public var outputDescriptor: Int32? { nil }
    /// Nothing with a terminal.
    public var errorDescriptor: Int32? { nil }

    /// The next event; nothing when there is none yet.
    public func takeEvent() -> Event? { nil }

    /// Writes as much as is taken now, and gives how much. A command that does not read any more
    /// takes everything and drops it.
    public func write(_ bytes: ArraySlice<UInt8>) -> Int { 0 }
    /// Ends its input. A terminal has no end of input: write the byte 4.
    public func closeInput() {}
    public func readOutput(atMost count: Int = 65536) -> Reading { .end }
    public func readError(atMost count: Int = 65536) -> Reading { .end }

    /// To its process group.
    public func send(_ signal: Signal) throws(SandboxError) {}
    /// Without a terminal nothing happens.
    public func resize(_ size: Terminal.Size) {}
}

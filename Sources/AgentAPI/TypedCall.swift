public import LinuxKernel
public import ProtocolBuffers
public import RPC

/// A call with its method's messages, as a handler sees it: a ``RPC/ServerCall`` that reads and
/// writes them.
///
/// Like that it belongs to the loop's thread. It can be copied and kept, and held by its own
/// callbacks, which are dropped when the call ends.
public struct TypedCall<Request: Message, Response: Message>: Sendable {
    /// The call below, for what has no messages in it.
    public let base: ServerCall

    public init(_ base: ServerCall) {
        self.base = base
    }

    public var loop: EventLoop { base.loop }
    public var metadata: Metadata { base.metadata }
    public var peer: PeerCredentials { base.peer }
    /// When its client stops waiting, by `MonotonicClock`.
    public var deadline: UInt64? { base.deadline }
    /// Whether the call goes on: neither finished nor cancelled.
    public var isOpen: Bool { base.isOpen }
    /// Whether little waits to be sent. Who sends on regardless fills memory.
    public var isWritable: Bool { base.isWritable }

    /// Calls an action with each request. One that is not the method's message ends the call with
    /// INVALID_ARGUMENT, and nothing more is told. Until it is set, requests are dropped.
    public func onMessage(_ action: @escaping (Request) -> Void) {
        let base = base
        base.onMessage = { bytes in
            do throws(WireError) {
                action(try Request(decoding: bytes, limits: WireLimits(bytes: bytes.count)))
            } catch {
                base.fail(.notAMessage(Request.self, error))
            }
        }
    }

    /// Calls an action when the client sends no more requests.
    public func onHalfClose(_ action: @escaping () -> Void) { base.onHalfClose = action }

    /// Calls an action when nobody waits for the answer any more. Not called once the call is
    /// finished.
    public func onCancel(_ action: @escaping (ServerCall.Cancellation) -> Void) {
        base.onCancel = action
    }

    /// Calls an action when there is room to send again, after `isWritable` was false.
    public func onWritable(_ action: @escaping () -> Void) { base.onWritable = action }

    /// Sends an answer. Dropped when the call is over.
    public func send(_ response: Response) { base.send(response.encoded()) }

    /// Ends the call after what was sent. Later uses do nothing.
    public func finish(_ status: RPC.Status = .ok) { base.finish(status) }

    public func finish(_ failure: CallFailure) { base.finish(RPC.Status(failure)) }

    /// Sends the only answer, or the last one, and ends the call well.
    public func finish(with response: Response) {
        send(response)
        finish()
    }

    /// Takes no requests until `resume`; the client waits when the stream's window is full.
    public func pause() { base.pause() }
    public func resume() { base.resume() }
}

internal import CLinux

/// Sockets of the Unix family that carry whole messages: close-on-exec and non-blocking.
/// Corresponds to `SOCK_SEQPACKET`.
public enum MessageSockets {
    /// A socket that listens at a name in a directory: no length of the directory's path matters.
    /// One of the same name that is left over goes away.
    public static func listen(
        at name: String, in directory: borrowing Descriptor, backlog: Int32
    ) throws(SystemCallError) -> Descriptor {
        let socket = try make()
        let path = path(of: name, in: directory)
        do throws(SystemCallError) {
            try UnixSockets.bind(socket, to: path)
        } catch {
            guard error.errorNumber == .addressInUse else { throw error }
            try Files.remove(name, at: directory)
            try UnixSockets.bind(socket, to: path)
        }
        try UnixSockets.listen(socket, backlog: backlog)
        return socket
    }

    /// A connection; its other side takes this process's credentials.
    ///
    /// - Parameter takesCredentials: messages come with their sender's pid.
    public static func connect(
        to name: String, in directory: borrowing Descriptor, takesCredentials: Bool
    ) throws(SystemCallError) -> Descriptor {
        let socket = try make()
        try UnixSockets.connect(socket, to: path(of: name, in: directory))
        guard takesCredentials else { return socket }
        var one: Int32 = 1
        let number = socket.rawValue
        // SOL_SOCKET, SO_PASSCRED
        try checked(
            withAddress(of: &one) {
                systemCall(__NR_setsockopt, UInt64(argument: number), 1, 16, $0, 4)
            }, "setsockopt")
        return socket
    }

    private static func make() throws(SystemCallError) -> Descriptor {
        // AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC
        Descriptor(
            owning: Int32(
                try checked(systemCall(__NR_socket, 1, 5 | 0o4000 | 0o2_000_000, 0), "socket")))
    }

    private static func path(of name: String, in directory: borrowing Descriptor) -> String {
        "/proc/self/fd/\(directory.rawValue)/\(name)"
    }

    /// What was received.
    public struct Message: ~Copyable {
        /// None at the end of the connection.
        public let bytes: [UInt8]
        private let descriptor: Descriptor?
        /// The sender's pid, where the socket takes credentials.
        public let sender: Int32

        fileprivate init(bytes: [UInt8], descriptor: consuming Descriptor?, sender: Int32) {
            self.bytes = bytes
            self.descriptor = descriptor
            self.sender = sender
        }

        /// The descriptor that came with it.
        public consuming func takeDescriptor() -> Descriptor? { descriptor }
    }

    /// Receives a message; nothing when there is none.
    public static func receive(
        from socket: borrowing Descriptor, atMost count: Int
    ) throws(SystemCallError) -> Message? {
        do throws(SystemCallError) {
            return try receiveOnce(from: socket, atMost: count)
        } catch {
            // The other side was closed before it had read everything. That is told once, ahead of
            // what it had sent.
            guard error.errorNumber == .connectionReset else { throw error }
            return try receiveOnce(from: socket, atMost: count)
        }
    }

    private static func receiveOnce(
        from socket: borrowing Descriptor, atMost count: Int
    ) throws(SystemCallError) -> Message? {
        var message = alcove_message()
        var failure: Int64 = 0
        let number = socket.rawValue
        // SAFETY: the shim writes at most `count` bytes, and says how many it wrote.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
            // SAFETY: as above; `message` is written before the call gives back and not kept.
            failure = unsafe alcove_receive_message(
                number, buffer.baseAddress, UInt64(count), &message)
            written = failure == 0 ? min(count, Int(message.size)) : 0
        }
        let descriptor = message.descriptor < 0 ? nil : Descriptor(owning: message.descriptor)
        if failure == -Int64(ErrorNumber.wouldBlock.rawValue) { return nil }
        try checked(failure, "recvmsg")
        return Message(bytes: bytes, descriptor: descriptor, sender: message.sender)
    }

    /// Sends a message, and descriptors with it, which stay the caller's.
    public static func send(
        _ bytes: [UInt8], passing descriptors: [Int32] = [], to socket: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = socket.rawValue
        // SAFETY: both arrays live until the call is over, which reads only within them.
        let result = unsafe bytes.withUnsafeBytes { bytes in
            // SAFETY: as above.
            unsafe descriptors.withUnsafeBufferPointer {
                // SAFETY: as above.
                unsafe alcove_send_message(
                    number, bytes.baseAddress, UInt64(bytes.count), $0.baseAddress,
                    UInt64($0.count))
            }
        }
        try checked(result, "sendmsg")
    }
}

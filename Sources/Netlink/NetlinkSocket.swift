public import LinuxKernel

/// A socket to the kernel's networks, in one network namespace. Any thread may use it; one at a
/// time does.
public final class NetlinkSocket: Sendable {
    /// The longest piece of a list that is accepted: the kernel makes none beyond 32 KiB and a
    /// message.
    static let pieceLimit = 1 << 16
    /// The longest answer. Memory of this size costs nothing to have for a moment.
    static let answerLimit = 1 << 14
    /// The most that a dump gives, in messages.
    static let dumpLimit = 1 << 20

    private let endpoint: NetlinkEndpoint
    private let sequence = Locked(UInt32(1))

    /// - Parameter namespace: where it is and stays; otherwise where the calling thread is.
    public init(
        _ family: NetlinkFamily, in namespace: NetworkNamespace? = nil
    ) throws(NetlinkError) {
        do throws(SystemCallError) {
            endpoint = try NetlinkEndpoint(family, in: namespace)
        } catch {
            throw NetlinkError(error, during: "open", subject: "netlink socket")
        }
    }

    /// A request that failed.
    public struct Failure: Sendable {
        /// Its place in the batch.
        public let index: Int
        public let error: NetlinkError
    }

    /// Performs requests, all of them. The first that failed is thrown; the others have been
    /// performed nevertheless.
    public func perform(_ batch: NetlinkBatch) throws(NetlinkError) {
        if let first = try failures(of: batch).first { throw first.error }
    }

    /// Performs requests, and gives those that failed, in their order.
    public func failures(of batch: NetlinkBatch) throws(NetlinkError) -> [Failure] {
        guard !batch.isEmpty else { return [] }
        return try failures(of: batch, asTransaction: false)
    }

    func failures(
        of batch: NetlinkBatch, asTransaction: Bool
    ) throws(NetlinkError) -> [Failure] {
        var batch = batch
        return try sequence.with { (sequence) throws(NetlinkError) in
            let exchange = Exchange(&batch, first: sequence, asTransaction: asTransaction)
            sequence &+= UInt32(exchange.entries.count)
            return try exchange.run(endpoint)
        }
    }

    /// Asks for a list, and calls `each` with every message of it.
    ///
    /// The kernel makes a list in pieces. One that changed meanwhile is asked for again.
    public func collect(
        _ type: UInt16, _ subject: StaticString, _ header: (inout NetlinkWriter) -> Void,
        each: (NetlinkMessage) throws(NetlinkError) -> Void
    ) throws(NetlinkError) {
        var batch = NetlinkBatch()
        batch.add(type, .dump, "list", "\(subject)", header)
        let messages = try sequence.with { (sequence) throws(NetlinkError) in
            for _ in 0..<10 {
                let exchange = Exchange(&batch, first: sequence)
                sequence &+= 1
                if let messages = try exchange.list(endpoint) { return messages }
            }
            throw NetlinkError(
                action: "list", subject: "\(subject)", errorNumber: .interrupted,
                kernelWords: "it changed ten times while it was listed")
        }
        for message in messages { try each(message) }
    }
}

/// Requests that were numbered, and what is answered.
struct Exchange {
    let entries: [NetlinkBatch.Entry]
    let first: UInt32
    let bytes: [UInt8]
    /// The request whose answer is the last.
    let acknowledged: Int
    let isTransaction: Bool

    init(_ batch: inout NetlinkBatch, first: UInt32, asTransaction: Bool = false) {
        entries = batch.entries
        self.first = first
        isTransaction = asTransaction
        // The end of a transaction is not answered by every kernel.
        acknowledged = entries.count - (asTransaction ? 2 : 1)
        bytes = batch.number(from: first, acknowledging: acknowledged)
    }

    /// NLMSG_ERROR and NLMSG_DONE
    private static let answerType: UInt16 = 2
    private static let doneType: UInt16 = 3

    private func error(_ entry: NetlinkBatch.Entry, _ answer: NetlinkAnswer) -> NetlinkError {
        NetlinkError(
            action: "\(entry.action)", subject: entry.subject,
            errorNumber: ErrorNumber(rawValue: answer.errorNumber), kernelWords: answer.words)
    }

    /// Sends, and collects answers up to that of the last request.
    func run(_ endpoint: borrowing NetlinkEndpoint) throws(NetlinkError) -> [NetlinkSocket.Failure]
    {
        var failures: [NetlinkSocket.Failure] = []
        try send(endpoint)
        while let piece = try receive(endpoint, limit: NetlinkSocket.answerLimit) {
            var rest = piece[...]
            while !rest.isEmpty {
                guard let message = NetlinkMessage(takingFrom: &rest) else {
                    throw malformed("a message that is cut off")
                }
                // What is left of an exchange that failed midway has another number.
                let index = Int(message.sequence &- first)
                guard message.type == Self.answerType, index < entries.count else { continue }
                guard let answer = NetlinkAnswer(message) else {
                    throw malformed("an answer that is cut off")
                }
                if answer.errorNumber != 0 {
                    failures.append(
                        NetlinkSocket.Failure(index: index, error: error(entries[index], answer)))
                }
                // A transaction that fails as a whole is answered once, at its beginning.
                if index == acknowledged || isTransaction && index == 0 { return failures }
            }
        }
        if !failures.isEmpty { return failures }
        throw malformed("no answer")
    }

    /// Sends, and collects messages up to the list's end. Nothing when it changed meanwhile.
    func list(_ endpoint: borrowing NetlinkEndpoint) throws(NetlinkError) -> [NetlinkMessage]? {
        var messages: [NetlinkMessage] = []
        var interrupted = false
        try send(endpoint)
        while let piece = try receive(endpoint, limit: NetlinkSocket.pieceLimit) {
            var rest = piece[...]
            while !rest.isEmpty {
                guard let message = NetlinkMessage(takingFrom: &rest) else {
                    throw malformed("a message that is cut off")
                }
                guard message.sequence == first else { continue }
                // NLM_F_DUMP_INTR
                if message.flags & 0x10 != 0 { interrupted = true }
                switch message.type {
                case Self.answerType, Self.doneType:
                    let isEnd = message.type == Self.doneType
                    guard let answer = NetlinkAnswer(message, endOfList: isEnd) else {
                        throw malformed("an answer that is cut off")
                    }
                    if answer.errorNumber != 0 { throw error(entries[0], answer) }
                    return interrupted ? nil : messages
                default:
                    guard messages.count < NetlinkSocket.dumpLimit else {
                        throw malformed("a list of over \(NetlinkSocket.dumpLimit) messages")
                    }
                    messages.append(message)
                }
            }
        }
        throw malformed("a list without an end")
    }

    private func send(_ endpoint: borrowing NetlinkEndpoint) throws(NetlinkError) {
        do throws(SystemCallError) {
            try endpoint.send(bytes)
        } catch {
            throw failed(error)
        }
    }

    private func receive(
        _ endpoint: borrowing NetlinkEndpoint, limit: Int
    ) throws(NetlinkError) -> [UInt8]? {
        do throws(SystemCallError) {
            return try endpoint.receive(limit: limit)
        } catch {
            throw failed(error)
        }
    }

    private func failed(_ error: SystemCallError) -> NetlinkError {
        NetlinkError(
            error, during: "\(entries[0].action)",
            subject: entries[0].subject)
    }

    private func malformed(_ what: String) -> NetlinkError {
        .malformed("\(entries[0].action)", entries[0].subject, what)
    }
}

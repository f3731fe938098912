internal import LinuxKernel
internal import Netlink

/// Corresponds to `RCODE`.
enum ResponseCode {
    static let malformed: UInt16 = 1
    static let failed: UInt16 = 2
    static let noSuchName: UInt16 = 3
    static let notImplemented: UInt16 = 4
    static let refused: UInt16 = 5
}

// What becomes of questions and answers, whichever way they come.
extension NameForwarder {
    enum Judgement {
        case ignore
        case answer([UInt8])
        case ask(NameMessage)
    }

    /// What becomes of a question.
    func judge(_ bytes: [UInt8], of slot: SlotIndex) -> Judgement {
        guard bytes.count <= Self.longestQuestion, let message = NameMessage(bytes),
            !message.isAnswer
        else {
            counts.malformed += 1
            return .ignore
        }
        counts.questions += 1
        guard message.isQuery else {
            return .answer(
                NameMessage.refusal(of: bytes, message, code: ResponseCode.notImplemented))
        }
        guard let settings = network.settings(of: slot) else { return .ignore }
        let code: UInt16
        switch settings.names.action(on: message.question.name) {
        case .allow: return .ask(message)
        case .deny: code = ResponseCode.noSuchName
        case nil:
            if settings.isPublic { return .ask(message) }
            code = ResponseCode.refused
        }
        counts.denied += 1
        return .answer(NameMessage.refusal(of: bytes, message, code: code))
    }

    /// What the sandbox is given for an answer: addresses that it names are open by then. Nothing
    /// for what is no answer to its question.
    func finish(
        _ bytes: [UInt8], _ answer: NameMessage, to question: NameMessage, _ asked: [UInt8],
        _ slot: SlotIndex
    ) -> [UInt8]? {
        guard answer.isAnswer, answer.operation == 0, answer.question == question.question else {
            return nil
        }
        func refusal(_ code: UInt16) -> [UInt8] {
            NameMessage.refusal(of: asked, question, code: code)
        }
        guard let rules = network.settings(of: slot)?.names else {
            return refusal(ResponseCode.failed)
        }
        let (names, addresses) = answer.resolution()
        // A name that is denied is not to be had by an alias of it.
        guard !names.contains(where: { rules.action(on: $0) == .deny }) else {
            counts.denied += 1
            return refusal(ResponseCode.noSuchName)
        }
        if rules.action(on: question.question.name) == .allow, !addresses.isEmpty {
            guard open(addresses, in: bytes, of: names, to: slot) else {
                counts.unanswered += 1
                return refusal(ResponseCode.failed)
            }
        }
        counts.answers += 1
        return lowered(bytes, answer, question)
    }

    /// Longer than the answer says, by as long as the sandbox may take to use it.
    private static let graceSeconds: UInt32 = 5

    private func open(
        _ records: [NameMessage.Record], in bytes: [UInt8], of names: [DomainName],
        to slot: SlotIndex
    ) -> Bool {
        let range = settings.seconds
        let addresses = records.map { record in
            (
                address: IPv4Address(
                    rawValue: bytes[record.content].reduce(0) { $0 << 8 | UInt32($1) }),
                seconds: min(max(record.seconds, range.lowerBound), range.upperBound)
                    + Self.graceSeconds
            )
        }
        // Why it cannot be is of no use to the sandbox; it asks again.
        guard (try? network.open(addresses, of: names, to: slot)) == true else { return false }
        counts.opened += UInt64(addresses.count)
        return true
    }

    /// With the question's number, and with no answer that lasts longer than what it opened.
    private func lowered(
        _ bytes: [UInt8], _ answer: NameMessage, _ question: NameMessage
    ) -> [UInt8] {
        var bytes = bytes
        bytes.replaceSubrange(0..<2, with: question.identifier.networkBytes)
        let most = settings.seconds.upperBound
        for record in answer.answers where record.seconds > most {
            bytes.replaceSubrange(
                record.timeOffset..<(record.timeOffset + 4),
                with: UInt16(truncatingIfNeeded: most >> 16).networkBytes
                    + UInt16(truncatingIfNeeded: most).networkBytes)
        }
        return bytes
    }
}

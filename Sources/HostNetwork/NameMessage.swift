/// A message of the domain name system, as far as the forwarder must understand it (RFC 1035).
///
/// Whatever the bytes are, reading them takes a time that their count bounds.
struct NameMessage {
    /// The most records that are looked at.
    static let mostRecords = 256
    static let headerBytes = 12

    struct Question: Hashable {
        let name: DomainName
        let type: UInt16
        let group: UInt16
    }

    struct Record {
        let name: DomainName
        let type: UInt16
        let group: UInt16
        /// Where the four bytes of its time stand.
        let timeOffset: Int
        let seconds: UInt32
        let content: Range<Int>
        /// The other name that it leads to, of an alias.
        let target: DomainName?
    }

    enum RecordType {
        static let address: UInt16 = 1
        static let alias: UInt16 = 5
        static let options: UInt16 = 41
    }

    /// IN
    static let internet: UInt16 = 1

    let identifier: UInt16
    let flags: UInt16
    let question: Question
    /// Where the question ends.
    let questionEnd: Int
    let answers: [Record]
    /// How many there are that are no answers.
    let otherRecords: Int

    var isAnswer: Bool { flags & 0x8000 != 0 }
    var operation: UInt16 { flags >> 11 & 15 }
    var code: UInt16 { flags & 15 }

    /// Nothing for what is cut off, goes round in circles, or has not exactly one question.
    init?(_ bytes: [UInt8]) {
        var reader = NameReader(bytes)
        guard let identifier = reader.number(), let flags = reader.number(),
            let questions = reader.number(), questions == 1, let answers = reader.number(),
            let authorities = reader.number(), let additional = reader.number()
        else { return nil }
        let others = Int(authorities) + Int(additional)
        guard Int(answers) + others <= Self.mostRecords, let name = reader.name(),
            let type = reader.number(), let group = reader.number()
        else { return nil }
        question = Question(name: name, type: type, group: group)
        questionEnd = reader.position
        self.identifier = identifier
        self.flags = flags
        var records: [Record] = []
        for index in 0..<(Int(answers) + others) {
            guard let record = reader.record() else { return nil }
            if index < Int(answers) { records.append(record) }
        }
        self.answers = records
        otherRecords = others
    }

    /// Whether it is what a resolver may be asked: one question, and at most options beside.
    var isQuery: Bool { !isAnswer && operation == 0 && answers.isEmpty && otherRecords <= 2 }

    /// All names that the question's one is an alias of, and the answers that belong to them.
    func resolution() -> (names: [DomainName], addresses: [Record]) {
        var names = [question.name]
        var known: Set = [question.name]
        // Aliases come in any order; each round finds one more, or is the last.
        while names.count <= 16,
            let next = answers.first(where: {
                $0.type == RecordType.alias && known.contains($0.name)
                    && $0.target.map { !known.contains($0) } ?? false
            })?.target
        {
            names.append(next)
            known.insert(next)
        }
        let addresses = answers.filter {
            $0.type == RecordType.address && $0.group == Self.internet && $0.content.count == 4
                && known.contains($0.name)
        }
        return (names, addresses)
    }

    /// An answer that says nothing but a code.
    static func refusal(of bytes: [UInt8], _ query: NameMessage, code: UInt16) -> [UInt8] {
        // An answer, with recursion available, and desired as it was.
        let flags = 0x8080 | query.flags & 0x0100 | code
        return query.identifier.networkBytes + flags.networkBytes + [0, 1, 0, 0, 0, 0, 0, 0]
            + bytes[headerBytes..<query.questionEnd]
    }
}

/// Reads a message from its beginning on.
struct NameReader {
    /// How often one name may go on elsewhere.
    private static let mostSteps = 32

    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func number() -> UInt16? {
        guard position + 2 <= bytes.count else { return nil }
        defer { position += 2 }
        return UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
    }

    /// A name may go on where an earlier one stood. Each step goes further back, so that it ends.
    mutating func name() -> DomainName? {
        var labels: [UInt8] = []
        var place = position
        var lowest = position
        var end: Int?
        var steps = 0
        while place < bytes.count {
            let count = Int(bytes[place])
            switch count {
            case 0:
                position = end ?? place + 1
                return DomainName(labels: labels)
            case 1...63:
                guard place + 1 + count <= bytes.count,
                    labels.count + 1 + count < DomainName.mostBytes
                else { return nil }
                labels.append(UInt8(count))
                labels += bytes[(place + 1)...(place + count)].map(\.lowerCase)
                place += 1 + count
            case 0xC0...0xFF:
                guard place + 1 < bytes.count else { return nil }
                let target = (count & 0x3F) << 8 | Int(bytes[place + 1])
                steps += 1
                guard target < lowest, steps <= Self.mostSteps else { return nil }
                end = end ?? place + 2
                (lowest, place) = (target, target)
            default: return nil
            }
        }
        return nil
    }

    mutating func record() -> NameMessage.Record? {
        guard let name = name(), let type = number(), let group = number() else { return nil }
        let timeOffset = position
        guard let high = number(), let low = number(), let count = number(),
            position + Int(count) <= bytes.count
        else { return nil }
        let content = position..<(position + Int(count))
        var target: DomainName?
        if type == NameMessage.RecordType.alias {
            target = self.name()
            guard target != nil, position == content.upperBound else { return nil }
        }
        position = content.upperBound
        return NameMessage.Record(
            name: name, type: type, group: group, timeOffset: timeOffset,
            seconds: UInt32(high) << 16 | UInt32(low), content: content, target: target)
    }
}

/// A row of one of the tables: an opaque record under an id.
public struct StoredRecord: Hashable, Sendable {
    public var id: String
    /// The owner's own; rows of a table are given in its order.
    public var number: Int64
    public var bytes: [UInt8]

    public init(id: String, number: Int64, bytes: [UInt8]) {
        self.id = id
        self.number = number
        self.bytes = bytes
    }
}

/// Something that happened, under a number that rises.
public struct StoredEvent: Hashable, Sendable {
    public var number: Int64
    /// The id of what it is about.
    public var subject: String
    public var bytes: [UInt8]

    public init(number: Int64, subject: String, bytes: [UInt8]) {
        self.number = number
        self.subject = subject
        self.bytes = bytes
    }
}

/// Which table a record is in. The owner gives each kind a number of its own, for ever.
public struct RecordKind: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int64

    public init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    public static let sandbox = RecordKind(rawValue: 1)
    public static let image = RecordKind(rawValue: 2)
}

/// What one commit does: all of it or nothing, in the order in which it was asked for.
public struct Change: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        case put(RecordKind, StoredRecord)
        case remove(RecordKind, id: String)
        case event(StoredEvent)
        case set(name: String, bytes: [UInt8]?)
    }

    private(set) var steps: [Step] = []

    public init() {}

    public var isEmpty: Bool { steps.isEmpty }

    /// Writes a record, in the place of the one with that id if there is one.
    public mutating func put(_ kind: RecordKind, _ record: StoredRecord) {
        steps.append(.put(kind, record))
    }

    /// Removes a record; one that is not there is no error.
    public mutating func remove(_ kind: RecordKind, id: String) {
        steps.append(.remove(kind, id: id))
    }

    /// Appends an event. A number that is there already fails the commit.
    public mutating func append(_ event: StoredEvent) {
        steps.append(.event(event))
    }

    /// Sets a value by its name, or removes it.
    public mutating func set(_ name: String, to bytes: [UInt8]?) {
        steps.append(.set(name: name, bytes: bytes))
    }

    /// All that another one does, after this.
    public mutating func append(contentsOf other: Change) {
        steps += other.steps
    }
}

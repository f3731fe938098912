internal import CInitProtocol
internal import LinuxKernel

/// A piece of output, as alcove-init wrote it down.
struct LogRecord: Equatable {
    let stream: LogStream
    let sequence: UInt64
    let nanoseconds: UInt64
    /// So many lines of the stream ended before it.
    let lines: UInt64
    let bytes: ArraySlice<UInt8>
    /// In the segment.
    var size: Int { Head.size + bytes.count }

    /// Nothing for what is no whole record at the beginning of the bytes.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard let head = Head(bytes), bytes.count >= head.wholeSize else { return nil }
        stream = head.stream
        sequence = head.sequence
        nanoseconds = LittleEndian.number(bytes, at: 16)
        lines = LittleEndian.number(bytes, at: 24)
        self.bytes = bytes.dropFirst(Head.size).prefix(head.length)
    }

    /// What stands before the output. It comes from inside a sandbox: nothing is believed of it.
    struct Head {
        static let size = MemoryLayout<alcove_log_record>.size

        let stream: LogStream
        let length: Int
        let sequence: UInt64

        var wholeSize: Int { Self.size + length }

        init?(_ bytes: ArraySlice<UInt8>) {
            guard bytes.count >= Self.size,
                LittleEndian.number(bytes, at: 0, as: UInt32.self) == UInt32(ALCOVE_LOG_MAGIC),
                let stream = LogStream(rawValue: bytes[bytes.startIndex + 32])
            else { return nil }
            length = Int(LittleEndian.number(bytes, at: 4, as: UInt32.self))
            guard length > 0, length <= Int(ALCOVE_LOG_LARGEST) else { return nil }
            self.stream = stream
            sequence = LittleEndian.number(bytes, at: 8)
        }
    }
}

/// The records in the two segments of a log, in order, while alcove-init fills one and empties the
/// other under the reader's hands.
///
/// A segment is known by the sequence number of its first record. That is looked at after each
/// reading: as long as it is the same, the segment has not been emptied, and what was read is what
/// was written.
struct LogSegments: ~Copyable {
    private let first: Descriptor
    private let second: Descriptor
    private var place: Place?
    /// The next record is this one, or a later one.
    private var nextSequence: UInt64 = 0
    /// What was read and checked of the segment, from the place on.
    private var block: ArraySlice<UInt8> = []

    private struct Place {
        var segment: Int
        /// The sequence number of the segment's first record.
        let begin: UInt64
        var offset: UInt64
    }

    private static let blockSize = 64 << 10

    init(first: consuming Descriptor, second: consuming Descriptor) {
        self.first = first
        self.second = second
    }

    /// Of both segments, as far as they are filled.
    var size: UInt64 {
        let first = (try? Files.status(of: first))?.size ?? 0
        let second = (try? Files.status(of: second))?.size ?? 0
        return first + second
    }

    /// The next record; nothing when there is none for now.
    mutating func next() -> LogRecord? {
        while true {
            if let record = takeFromBlock() {
                // Older ones come again after a segment was emptied under the reader's hands.
                if record.sequence < nextSequence { continue }
                nextSequence = record.sequence &+ 1
                return record
            }
            guard fillBlock() else { return nil }
        }
    }

    private mutating func takeFromBlock() -> LogRecord? {
        guard let record = LogRecord(block) else { return nil }
        block = block.dropFirst(record.size)
        place?.offset += UInt64(record.size)
        return record
    }

    /// Whether there is a whole record in the block now.
    private mutating func fillBlock() -> Bool {
        if place == nil { place = oldest() }
        guard let here = place else { return false }
        // Looked at first: what the current segment does not have when the other one has gone on,
        // it will never have.
        let after = begin(of: 1 - here.segment)
        let bytes = read(here.segment, at: here.offset, Self.blockSize)
        guard begin(of: here.segment) == here.begin else {
            // Emptied. What was in it and was not read is lost.
            block = []
            place = oldest()
            return place != nil && fillFromPlace()
        }
        block = bytes[...]
        if LogRecord(block) != nil { return true }
        guard let after, after > here.begin else { return false }
        block = []
        place = Place(segment: 1 - here.segment, begin: after, offset: 0)
        return fillFromPlace()
    }

    /// At the beginning of a segment. That it is emptied meanwhile shows the next time.
    private mutating func fillFromPlace() -> Bool {
        guard let here = place else { return false }
        let bytes = read(here.segment, at: here.offset, Self.blockSize)
        guard begin(of: here.segment) == here.begin else {
            place = nil
            return false
        }
        block = bytes[...]
        return LogRecord(block) != nil
    }

    /// The beginning of the segment that was begun earlier.
    private func oldest() -> Place? {
        let places = (0..<2).compactMap { segment in
            begin(of: segment).map { Place(segment: segment, begin: $0, offset: 0) }
        }
        return places.min { $0.begin < $1.begin }
    }

    private func begin(of segment: Int) -> UInt64? {
        LogRecord.Head(read(segment, at: 0, LogRecord.Head.size)[...])?.sequence
    }

    private func read(_ segment: Int, at offset: UInt64, _ count: Int) -> [UInt8] {
        (segment == 0
            ? try? first.read(atMost: count, at: offset)
            : try? second.read(atMost: count, at: offset)) ?? []
    }
}

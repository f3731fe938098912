internal import CGuestMemory
public import LinuxKernel

/// What a file of a guest's memory holds: all that is not zero, each page at its place.
public struct SavedMemory: Hashable, Sendable {
    /// How many pages are not zero.
    public let pages: UInt64
    /// Of those pages and where they are.
    public let checksum: UInt64

    public init(pages: UInt64, checksum: UInt64) {
        self.pages = pages
        self.checksum = checksum
    }
}

/// Finds damage of a file, and keeps nobody from making some.
public enum Checksum {
    /// Corresponds to XXH64.
    public static func of(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
        // SAFETY: the bytes are read within their bounds while they live.
        unsafe bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return unsafe alcove_checksum("", 0, seed) }
            return unsafe alcove_checksum(start, UInt64(bytes.count), seed)
        }
    }
}

/// Pages of a guest's memory that its first moments need.
public struct WorkingSet: Hashable, Sendable {
    public struct Run: Hashable, Sendable {
        /// Pages of 4096 bytes from the beginning of the memory.
        public let first: UInt32
        public let count: UInt32
        public let isWritten: Bool

        public init(first: UInt32, count: UInt32, isWritten: Bool) {
            self.first = first
            self.count = count
            self.isWritten = isWritten
        }
    }

    public var runs: [Run]

    public init(_ runs: [Run] = []) {
        self.runs = runs
    }
}

extension GuestMemory {
    public static let pageBytes = 4096
    /// So much goes into one call.
    private static let mostAtOnce = 1 << 20

    /// Room for memory that is to have the content of a file.
    public static func room(bytes: UInt64) throws(SystemCallError) -> GuestMemory {
        try GuestMemory(MemoryMapping.anonymous(count: Int(bytes)))
    }

    /// Memory with the content of a file, which stays as it is: what the guest changes is its own.
    public static func restored(
        from file: borrowing Descriptor, bytes: UInt64
    ) throws(SystemCallError) -> GuestMemory {
        try GuestMemory(MemoryMapping.changedPrivately(of: file, count: Int(bytes)))
    }

    /// Takes the content of a file over, which stays as it is: what the guest changes is its own.
    public func takeOver(_ file: borrowing Descriptor) throws(SystemCallError) {
        try mapping.replace(from: 0, count: Int(count), byContentOf: file)
    }

    /// Writes what is not zero to an empty file, each page at its place. Nobody changes the memory
    /// meanwhile.
    ///
    /// - Parameter changes: these pages alone, which are this memory's.
    public func save(
        to file: borrowing Descriptor, changes: WorkingSet? = nil
    ) throws(SystemCallError) -> SavedMemory {
        var saved = SavedMemory(pages: 0, checksum: 0)
        guard let changes else {
            try save(0..<Int(count), to: file, &saved)
            return saved
        }
        for run in changes.runs {
            let start = Int(run.first) * Self.pageBytes
            try save(start..<start + Int(run.count) * Self.pageBytes, to: file, &saved)
        }
        return saved
    }

    private func save(
        _ range: Range<Int>, to file: borrowing Descriptor, _ saved: inout SavedMemory
    ) throws(SystemCallError) {
        precondition(range.upperBound <= Int(count), "a part of the memory")
        var start = range.lowerBound
        var place = range.lowerBound
        while place < range.upperBound {
            if isZero(at: place) {
                try write(from: start, to: place, file)
                place += Self.pageBytes
                start = place
                continue
            }
            add(pageAt: place, to: &saved)
            place += Self.pageBytes
            if place - start == Self.mostAtOnce {
                try write(from: start, to: place, file)
                start = place
            }
        }
        try write(from: start, to: place, file)
    }

    private func add(pageAt place: Int, to saved: inout SavedMemory) {
        // SAFETY: a page within the mapping.
        let checksum = unsafe alcove_checksum(
            base + place, UInt64(Self.pageBytes),
            saved.checksum &+ UInt64(place / Self.pageBytes))
        saved = SavedMemory(pages: saved.pages + 1, checksum: checksum)
    }

    private func isZero(at place: Int) -> Bool {
        // SAFETY: a page within the mapping.
        unsafe alcove_guest_is_zero(base + place, UInt64(Self.pageBytes)) != 0
    }

    private func write(
        from start: Int, to end: Int, _ file: borrowing Descriptor
    ) throws(SystemCallError) {
        var done = start
        while done < end {
            let part = MemoryPart(
                address: mapping.address + UInt64(done), count: UInt64(end - done))
            switch file.write([part], at: UInt64(done)) {
            case .bytes(let count) where count > 0: done += count
            case .failed(.interrupted): continue
            case .failed(let number):
                throw SystemCallError(call: "write", subject: "memory", errorNumber: number)
            case .bytes, .wouldBlock:
                throw SystemCallError(call: "write", subject: "memory", errorNumber: .noSpace)
            }
        }
    }

    /// What the pages that are not zero come to.
    public func summary() -> SavedMemory {
        var saved = SavedMemory(pages: 0, checksum: 0)
        for place in stride(from: 0, to: Int(count), by: Self.pageBytes) where !isZero(at: place) {
            add(pageAt: place, to: &saved)
        }
        return saved
    }

    /// Takes parts of another file over, each from the place that it has here.
    public func takeOver(
        _ file: borrowing Descriptor, _ parts: WorkingSet
    ) throws(SystemCallError) {
        for run in parts.runs {
            let start = Int(run.first) * Self.pageBytes
            try mapping.replace(
                from: start, count: Int(run.count) * Self.pageBytes, byContentOf: file)
        }
    }

    // MARK: - The working set

    /// Brings pages into memory before the guest asks for them. What is not of this memory is left
    /// out.
    public func populate(_ set: WorkingSet) {
        let pages = count / UInt64(Self.pageBytes)
        for run in set.runs where UInt64(run.first) + UInt64(run.count) <= pages && run.count > 0 {
            mapping.populate(
                from: Int(run.first) * Self.pageBytes, count: Int(run.count) * Self.pageBytes,
                toWrite: run.isWritten)
        }
    }

    /// The pages that were used since the memory was made of a file.
    ///
    /// - Parameter map: this process's pages as the kernel tells them. Corresponds to
    ///   `/proc/self/pagemap`.
    public func used(_ map: borrowing Descriptor) throws(SystemCallError) -> WorkingSet {
        let pages = Int(count) / Self.pageBytes
        let first = Int(mapping.address) / Self.pageBytes
        let batch = try MemoryMapping.anonymous(count: Self.mostAtOnce)
        var set = WorkingSet()
        var page = 0
        while page < pages {
            let wanted = min(pages - page, Self.mostAtOnce / 8)
            let part = MemoryPart(address: batch.address, count: UInt64(wanted * 8))
            guard
                case .bytes(let count) = map.read(into: [part], at: UInt64((first + page) * 8)),
                count >= 8
            else { throw SystemCallError(call: "read", subject: "pagemap", errorNumber: .noData) }
            for index in 0..<count / 8 {
                let entry: UInt64 = batch.load(at: index * 8)
                // Present or swapped out; of the file, or else this process's own.
                guard entry >> 62 != 0 else { continue }
                set.add(page: UInt32(page + index), isWritten: entry >> 61 & 1 == 0)
            }
            page += count / 8
        }
        return set
    }
}

extension WorkingSet {
    /// Those that are written, in few pieces: a short way from one to the next belongs to both.
    public func written(joiningOver gap: UInt32) -> WorkingSet {
        var joined: [Run] = []
        for run in runs where run.isWritten {
            guard let last = joined.last, run.first - (last.first + last.count) <= gap else {
                joined.append(run)
                continue
            }
            joined[joined.count - 1] = Run(
                first: last.first, count: run.first + run.count - last.first, isWritten: true)
        }
        return WorkingSet(joined)
    }

    /// Whether they are in order, apart from each other, and in a memory of so many pages.
    public func fits(pages: UInt64) -> Bool {
        var end: UInt64 = 0
        for run in runs {
            guard run.count > 0, UInt64(run.first) >= end else { return false }
            end = UInt64(run.first) + UInt64(run.count)
        }
        return end <= pages
    }

    /// Adds a page behind all others.
    fileprivate mutating func add(page: UInt32, isWritten: Bool) {
        if let last = runs.last, last.isWritten == isWritten, last.first + last.count == page {
            runs[runs.count - 1] = Run(
                first: last.first, count: last.count + 1, isWritten: isWritten)
        } else {
            runs.append(Run(first: page, count: 1, isWritten: isWritten))
        }
    }
}
